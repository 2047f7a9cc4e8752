"""`runs/<name>/`: what is counted, what failed together, what is written, and when it is written again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import FIT, config

from w2s_ray.config.load import Study, expand, load_study
from w2s_ray.core.errors import InputError, StepFailed
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.store import open_store
from w2s_ray.reports.schema import parse
from w2s_ray.study import run as run_module
from w2s_ray.study.results import (
    _by_line,
    build_results,
    check_writable,
    config_digest,
    count_steps,
    failures,
    write_looks,
    write_results,
)
from w2s_ray.study.run import CellRun, collect, run_cells


@dataclass(frozen=True)
class Ran:
    """A study of four cells, of which two cannot be fitted."""

    study: Study
    context: Context
    runs: list[CellRun]
    collected: Handle

    def results(self, runs: list[CellRun] | None = None, tables: Any = None) -> dict[str, Any]:
        tables = self.collected.value if tables is None else tables
        folder = Path(self.context.store.root).parent / "runs"
        return build_results(self.study, self.context, runs or self.runs, tables, 1.23456, folder)


@pytest.fixture(scope="module")
def ran(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    raw = config(
        "naive",
        seeds=(0, 1),
        grid={"train.strong.lr": [0.01, 1e30]},
        train={"weak": FIT, "strong": FIT | {"clip": None}},
        hypothesis="Two cells fail.",
    )
    study = expand(raw, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2S_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        with Context(open_store(str(tmp_path_factory.mktemp("store"))), InlineExecutor) as context:
            runs = run_cells(study, context)
            collected = collect(study, context, runs)
            assert collected is not None, runs[0].traceback
            collected.record()
            yield Ran(study, context, runs, collected)


def test_cells_stand_in_the_studys_order_scored_or_with_their_reason(ran: Ran) -> None:
    results = ran.results()
    checked = parse(results)
    assert [(cell["seed"], cell["grid"]) for cell in results["cells"]] == [
        (seed, {"train.strong.lr": lr}) for lr in (0.01, 1e30) for seed in (0, 1)
    ]
    assert [cell.status == "failed" for cell in checked.cells] == [False, False, True, True]
    for cell in results["cells"][2:]:
        assert "the loss is nan" in cell["reason"] and cell["num_test"] == 0 and cell["seconds"] > 0
    assert results["name"] == "tiny" and results["hypothesis"] == "Two cells fail." and results["seconds"] == 1.235
    (row,) = results["summary"]
    assert row["placements"] == [results["cells"][0]["placement"]], "of the cells that ended"


def test_steps_are_counted_in_all_and_by_name(ran: Ran) -> None:
    found = count_steps(ran.context)
    by_step = found.pop("by_step")
    assert list(by_step) == sorted(by_step)
    for part, count in found.items():
        assert sum(of.get(part, 0) for of in by_step.values()) == count
    assert by_step["collect"] == {"executed": 1}
    # Two teachers; two students and two ceilings that can be fitted, and as many that cannot.
    assert (by_step["train"]["executed"], by_step["train"]["failed"]) == (6, 4)
    with Context(open_store(ran.context.store.url), InlineExecutor) as again:
        collect(ran.study, again, ran.runs[:2])
        assert count_steps(again) == {"executed": 0, "reused": 1, "failed": 0, "by_step": {"collect": {"reused": 1}}}


def test_a_reason_with_half_a_character_can_be_written(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise StepFailed("train", "train/x", "bad \udcff", "at \udcff", "log \ud800")

    monkeypatch.setattr(run_module, "_score", fails)
    runs = run_cells(ran.study, ran.context)
    write_results(tmp_path, ran.study, ran.results(runs, {}), None)
    read = parse(json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))
    assert {cell.reason for cell in read.cells} == {"step train/x failed: bad ?"}
    assert [(one["traceback"], one["log"]) for one in failures(runs)] == [("at ?", "log ?")]


def test_cells_that_failed_alike_are_one_entry(ran: Ran) -> None:
    (only,) = failures(ran.runs)
    assert [(cell["seed"], cell["method"]) for cell in only["cells"]] == [
        (seed, "naive (train.strong.lr=1e+30)") for seed in (0, 1)
    ]
    assert "the loss is nan" in only["error"] and not only["users"]
    assert failures(ran.runs[:2]) == []


def test_failures_are_told_apart_by_where_they_come_from_and_a_users_by_its_message(ran: Ran) -> None:
    cell = ran.runs[0].cell
    made = [
        CellRun(cell, error="step train/a failed: x", traceback="one place"),
        CellRun(cell, error="task.data: no", traceback="cell 1", users=True),
        CellRun(cell, error="step train/b failed: x", traceback="another place", log="last lines"),
        CellRun(cell, error="task.data: no", traceback="cell 2", users=True),
        CellRun(cell),
    ]
    found = failures(made)
    assert [(one["error"], len(one["cells"])) for one in found] == [
        ("task.data: no", 2), ("step train/a failed: x", 1), ("step train/b failed: x", 1)
    ], "most cells first, else in the study's order"  # fmt: skip
    assert (found[2]["log"], found[0]["users"], found[1]["users"]) == ("last lines", True, False)


def test_a_folder_holds_what_was_found_and_nothing_half_written(ran: Ran, tmp_path: Path) -> None:
    results = ran.results()
    write_results(tmp_path, ran.study, results, ran.collected)
    write_looks(tmp_path, results, ran.context.store)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.resolved.yaml", "report.md", "report.html", "results.json", "cells.parquet",
        "gap.svg", "calibration.svg", "loss.svg", ".cells", ".report", ".report-files",
    }  # fmt: skip
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert json.loads(text) == results
    lines = text.splitlines()
    assert sum(line.startswith('  {"method": "naive') for line in lines) == 4, "a line a cell"
    assert config_digest(load_study(tmp_path / "config.resolved.yaml")) == results["config_digest"]
    seeds = pq.read_table(tmp_path / "cells.parquet")["seed"].to_pylist()
    assert set(seeds) == {0, 1}
    assert "## " in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_predictions_are_copied_where_they_are_others_or_gone(ran: Ran, tmp_path: Path) -> None:
    results, path = ran.results(), tmp_path / "cells.parquet"
    write_results(tmp_path, ran.study, results, ran.collected)
    first = path.stat()
    write_results(tmp_path, ran.study, results, ran.collected)
    assert path.stat().st_ino == first.st_ino, "millions of rows that are the same"
    path.unlink()
    write_results(tmp_path, ran.study, results, ran.collected)
    assert path.is_file()
    (tmp_path / ".cells").write_text("collect/another")
    path.write_text("of another study")
    write_results(tmp_path, ran.study, results, ran.collected)
    assert pq.read_table(path).num_rows > 0


def test_a_study_of_which_every_cell_failed_has_results_too(ran: Ran, tmp_path: Path) -> None:
    assert collect(ran.study, ran.context, ran.runs[2:]) is None
    results = ran.results(runs=ran.runs[2:], tables={})
    write_results(tmp_path, ran.study, results, None)
    write_looks(tmp_path, results, ran.context.store)
    assert results["summary"] == [] and not {"comparisons", "sweep"} & set(results)
    assert not (tmp_path / "cells.parquet").exists()
    assert "failed" in (tmp_path / "report.md").read_text(encoding="utf-8")


# --- files ---

ENTRY = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3), max_size=3)


@given(st.lists(ENTRY, min_size=1, max_size=5), st.lists(ENTRY, min_size=1, max_size=3))
def test_each_entry_of_a_long_list_is_a_line_however_deep_it_lies(many: list[Any], few: list[Any]) -> None:
    lines = _by_line({"cells": many, "inner": {"pairs": few, "n": 1}, "small": [1, 2]}).splitlines()
    assert len(lines) == 2 + (2 + len(many)) + (2 + 2 + len(few) + 1) + 1
    found = [json.loads(line.strip().removesuffix(",")) for line in lines[1:] if line.strip().startswith("{")]
    assert found == [*many, *few]


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_folder_that_cannot_be_written_is_refused_with_a_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(
        InputError, match=r"^--runs: .*taken.* cannot be written \(.+\); give another folder with --runs"
    ):
        check_writable(tmp_path / place)


def test_the_commit_of_a_studys_folder_is_noted_with_a_mark_when_files_differ(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))  # wherever the tests run

    def git(*words: str) -> None:
        names = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

    there = replace(ran, study=replace(ran.study, base=tmp_path))
    assert there.results()["commit"] is None
    assert replace(ran, study=replace(ran.study, base=tmp_path / "none")).results()["commit"] is None
    git("init")
    (tmp_path / "study.yaml").write_text("name: x\n")
    git("add", ".")
    git("commit", "-m", "one")
    commit = there.results()["commit"]
    assert re.fullmatch("[0-9a-f]{12}", commit)
    (tmp_path / "study.yaml").write_text("name: y\n")
    assert there.results()["commit"] == f"{commit}-dirty"


# --- identity ---


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"resources": {"strong": {"cpus": 2}}}, True),
        ({"tune": {"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}}}, True),
        ({"gap_se": 0}, True),
        ({"train": {"weak": FIT, "strong": FIT, "by_model": {}}}, True),
        ({"name": "other"}, False),
        ({"hypothesis": "It rains."}, False),
        ({"seeds": [0, 1]}, False),
        ({"seeds": [1, 0]}, False),
        ({"metric": "auroc"}, False),
        ({"ceiling_on": "labelled"}, False),
        ({"gap_se": 1}, False),
        ({"grid": {"task.seed": [0]}}, False),
        ({"train": {"weak": FIT, "strong": FIT | {"lr": 0.02}}}, False),
        ({"tuned": {"search": "s", "select_on": "heldout"}}, False),
    ],
)
def test_equal_digests_are_equal_experiments_wherever_they_run(rows: Path, changes: dict[str, Any], same: bool) -> None:
    raw = config("naive")
    assert (config_digest(expand(raw | changes, rows)) == config_digest(expand(raw, rows))) == same


def test_costs_are_those_of_the_records_each_step_once(ran: Ran) -> None:
    costs = ran.results()["costs"]
    store = ran.context.store
    records = [store.record(key) for key in ran.context.executed]
    trained = [record for record in records if record is not None and record.step == "train"]
    assert len(trained) == 6
    mine = {role: row for row in costs["rows"] if (role := row["role"]) != "other"}
    assert {row["method"] for row in costs["rows"]} == {"naive (train.strong.lr=0.01)"}
    assert mine["weak"]["steps"] + mine["strong"]["steps"] >= 6
    of_fits = sum(record.seconds * record.resources["cpus"] for record in trained)
    assert mine["weak"]["CPU"] + mine["strong"]["CPU"] >= of_fits - 0.01
    total = sum(row["CPU"] for row in costs["rows"])
    assert costs["total"]["CPU"] == pytest.approx(total, abs=0.01), "one method: nothing is shared"
    assert costs["drivers"] == 1
    assert costs["there"]["CPU"] >= costs["busy"]["CPU"] > 0
    assert {loss["cause"] for loss in costs["losses"]} == {"error"}, "of the two cells whose loss is not a number"
    assert [(row["cause"], row["times"]) for row in costs["causes"]] == [("error", 4)]
