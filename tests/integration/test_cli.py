"""What the commands say and leave behind, their exit codes, failing cells, runs that are repeated, and Ctrl-C."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from integration.face import Face

from w2s_ray.config.load import load_study, searched
from w2s_ray.reports.schema import parse
from w2s_ray.study.results import config_digest

COMMANDS = [
    (),
    ("init",),
    ("run",),
    ("tune",),
    ("plan",),
    ("status",),
    ("why",),
    ("report",),
    ("errors",),
    ("methods",),
    ("schema",),
    ("data",),
    ("data", "show"),
    ("data", "export"),
    ("doctor",),
]
REAL = Path(__file__).parents[2] / "experiments/real/qwen2.5-7b_sciq.yaml"
EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").rglob("*.yaml"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches(face: Face, command: tuple[str, ...]) -> None:
    ended = face.w2s(*command, "--help")
    assert ended.code == 0
    assert "Usage: " + " ".join(["w2s", *command]) in ended.out
    undescribed = [
        line for line in ended.out.splitlines() if line.startswith("│ --") and len(line.strip("│ ").split("  ")) < 2
    ]
    assert not undescribed


def test_no_arguments_show_the_commands(face: Face) -> None:
    text = face.w2s().out
    assert "quickstart.yaml" in text
    assert all(command[0] in text for command in COMMANDS if command)


@pytest.mark.parametrize(
    "arguments", [("run",), ("rnu",), ("run", "study.yaml", "--lcoal"), ("data", "show", "world:topic", "-n", "0")]
)
def test_a_wrong_command_line_is_2(face: Face, arguments: tuple[str, ...]) -> None:
    ended = face.w2s(*arguments)
    assert ended.code == 2
    assert "Error" in ended.err
    assert "Traceback" not in ended.err


def test_methods_lists_methods_and_losses(face: Face) -> None:
    text = face.w2s("methods").out
    assert "naive" in text
    assert "Train the weak model on gold labels" in text
    assert "aux=0.5" in text


def test_data_lists_sources_and_formats(face: Face) -> None:
    text = face.w2s("data").out
    assert all(name in text for name in ("world:topic", "file:PATH", "hub:ORG/NAME", "preference", "choices"))


def test_data_show_prints_rows_as_a_model_reads_them(face: Face) -> None:
    text = face.w2s("data", "show", "world:topic", "-n", "2").out
    assert text.count("label") == 2
    assert len(text.split()) > 30
    source = face.rows("pairs.jsonl", [{"first": "[red]not markup", "second": "b", "label": "yes"}])
    shown = face.w2s("data", "show", face.study({"task": {"data": source, "format": "pair"}})).out
    assert all(part in shown for part in ("[red]not markup", "first", "second", "yes"))


def test_a_finished_run_leaves_files_that_agree(finished: Face) -> None:
    folder, results = finished.folder / "runs" / "small", finished.results()
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "calibration.svg",
        "cells.parquet",
        "config.resolved.yaml",
        "gap.svg",
        "loss.svg",
        "report.html",
        "report.md",
        "results.json",
    ]
    parse(results)
    again = load_study(folder / "config.resolved.yaml")
    assert config_digest(again) == results["config_digest"] == config_digest(load_study(finished.folder / "study.yaml"))
    assert results["steps"]["failed"] == 0
    assert [cell["seed"] for cell in results["cells"]] == [0, 1, 2]
    assert (folder / "report.md").read_text(encoding="utf-8") == finished.w2s("report", "small").out


def test_accuracies_follow_from_the_predictions(finished: Face) -> None:
    table, results = pq.read_table(finished.folder / "runs" / "small" / "cells.parquet").to_pandas(), finished.results()
    pool, table = table[table["split"] == "pool"], table[table["split"] == "test"]
    assert len(table) == sum(cell["num_test"] for cell in results["cells"]) == 180
    assert len(pool) == sum(cell["labels"]["n"] for cell in results["cells"]) > 0
    for cell in results["cells"]:
        rows = pool[(pool["seed"] == cell["seed"]) & (pool["method"] == cell["method"])]
        assert (rows["labels_class"] == rows["gold"]).mean() == pytest.approx(cell["labels"]["accuracy"], abs=1e-12)
    for cell in results["cells"]:
        rows = table[(table["seed"] == cell["seed"]) & (table["method"] == cell["method"])]
        assert rows["id"].is_unique
        for arm in ("floor", "student", "ceiling"):
            probs = rows[[f"{arm}_p0", f"{arm}_p1"]].to_numpy()
            assert np.allclose(probs.sum(axis=1), 1, atol=1e-3)
            assert (probs.argmax(axis=1) == rows["gold"].to_numpy()).mean() == pytest.approx(cell[arm], abs=1e-12)


def test_methods_are_compared_and_pairs_of_models_tabled(face: Face) -> None:
    """From the YAML to the files; the numbers follow from the predictions. Another baseline turns the signs and trains
    nothing."""
    logconf = {"type": "naive", "name": "logconf", "loss": {"type": "logconf", "aux": 0.5}}
    changes = {"methods": [logconf, "naive"], "seeds": [0, 1], "grid": {"models.strong": ["world/nano", "world/micro"]}}
    ended = face.run(changes)
    assert ended.code == 0, ended.err
    assert "Accuracy, logconf − naive: " in ended.out
    folder, results = face.folder / "runs" / "small", face.results()
    checked = parse(results)
    assert checked.comparisons is not None
    assert [(row.method, row.baseline, row.strong, row.num_seeds) for row in checked.comparisons.pairs] == [
        ("logconf", "naive", strong, 2) for strong in ("world/nano", "world/micro")
    ]
    assert [(row.num_groups, row.num_cells) for row in checked.comparisons.overall] == [(2, 4)]
    table = pq.read_table(folder / "cells.parquet").to_pandas().query("split == 'test'")
    right = (table["student_class"] == table["gold"]).groupby([table["method"], table["strong"]], observed=True).mean()
    for row in checked.comparisons.pairs:
        assert row.difference.mean == pytest.approx(right["logconf", row.strong] - right["naive", row.strong])
    assert [(entry.method, [pair.strong for pair in entry.pairs]) for entry in checked.sweep] == [
        (method, ["world/nano", "world/micro"]) for method in ("logconf", "naive")
    ]
    with open(folder / "sweep.csv", encoding="utf-8") as file:
        ladder = list(csv.DictReader(file))
    assert [(row["method"], row["strong"], row["oracle"]) for row in ladder] == [
        (m, s, "0") for m in ("logconf", "naive") for s in ("world/nano", "world/micro")
    ]
    assert {row["median_pgr_openai"] for row in ladder} == {
        "" if one is None else str(one) for one in (entry.median_pgr_openai for entry in checked.sweep)
    }
    assert (folder / "sweep.svg").is_file()
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert "## Methods compared" in page and "## Weak and strong models" in page

    assert face.run(changes | {"baseline": "logconf"}).code == 0
    turned = parse(face.results())
    assert turned.steps.executed == 1 and turned.comparisons is not None, "the tables alone are made again"
    assert [-row.difference.mean for row in turned.comparisons.pairs] == [
        row.difference.mean for row in checked.comparisons.pairs
    ]
    assert "baseline is 'navie' (did you mean 'naive'?)" in face.run(changes | {"baseline": "navie"}).refusal


def test_keys_of_the_results_are_in_the_store(finished: Face) -> None:
    for cell in finished.results()["cells"]:
        for role, key in cell["keys"].items():
            assert (finished.store / key / "record.json").is_file(), role


def test_a_second_run_executes_nothing_and_imports_neither_torch_nor_ray(finished: Face) -> None:
    before = finished.results()
    code = (
        "import sys; from w2s_ray.cli import app; app.app(standalone_mode=False); sys.exit(3 if {'ray', 'torch',"
        " 'transformers', 'datasets'} & set(sys.modules) else 0)"
    )
    started = time.perf_counter()
    ended = finished.process("run", "study.yaml", code=code)
    took = time.perf_counter() - started
    assert ended.code == 0, ended.err
    after = finished.results()
    assert after["steps"]["executed"] == 0
    assert after["steps"]["reused"] > 0
    assert "running" not in ended.err
    assert took < 30, "seconds, on a machine that does other work too"
    assert _without_time(after) == _without_time(before)


def _without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_time(inner) for name, inner in value.items() if name not in ("seconds", "steps")}
    return [_without_time(inner) for inner in value] if isinstance(value, list) else value


def test_plan_counts_what_would_run(finished: Face) -> None:
    done = finished.w2s("plan", "study.yaml")
    assert done.code == 0
    assert "3 cells = 1 grid point x 1 method x 3 seeds" in done.out
    assert [line.split() for line in done.out.splitlines() if line.startswith("train")] == [["train", "0", "9"]]
    other = finished.w2s("plan", "study.yaml", "--set", "train.strong.lr=2e-3", "--keys")
    assert [line.split() for line in other.out.splitlines() if line.startswith("train ")] == [["train", "6", "3"]], (
        "the teachers stay"
    )
    assert sum(line.startswith("train/world-micro") for line in other.out.splitlines()) == 6


def test_plan_says_what_a_spread_fit_needs_and_a_fit_that_no_device_holds_is_refused(face: Face) -> None:
    text = face.w2s("plan", str(REAL), "--store", str(face.store)).out
    assert "7.07 B parameters, 7.07 B of them trained; on each of 8 processes 71.0 of 80.0 GB can be filled" in text
    (taken,) = [line.split() for line in text.splitlines() if line.startswith("-> 2")]
    assert taken[1:3] == ["2", "32,768"]
    small = ("--set", "resources.strong.gpu_gb=24", "--set", "resources.strong.workers=2")
    path = str(REAL)
    assert (
        "refused: a fit of 7.07 B parameters (full, bf16) on 2 x 24.0 GB does not fit"
        in face.w2s("plan", path, "--store", str(face.store), *small).out
    )
    ended = face.w2s("run", path, "--store", str(face.store), *small)
    assert ended.code == 2
    assert (
        "resources.strong: a fit of 7.07 B parameters (full, bf16) on 2 x 24.0 GB does not fit: ZeRO 3, recomputed"
        in ended.err
    )


def test_why_names_the_field_that_differs(finished: Face) -> None:
    finished.w2s("plan", "study.yaml", "--set", "train.weak.lr=2e-3", "--set", "seeds=[0]")
    keys = [
        line
        for line in finished.w2s(
            "plan", "study.yaml", "--set", "train.weak.lr=2e-3", "--set", "seeds=[0]", "--keys"
        ).out.splitlines()
        if line.startswith("train/world-nano")
    ]
    ended = finished.w2s("why", keys[0])
    assert ended.code == 0
    assert "is not recorded" in ended.out
    assert "params.recipe.lr: 0.001 there, 0.002 here" in ended.out


def test_why_of_unknown_and_ambiguous_keys(finished: Face) -> None:
    assert "no step match" in finished.w2s("why", "no-such-key").refusal
    refusal = finished.w2s("why", "train/world-micro").refusal
    assert re.search(r"\d steps, such as train/world-micro\S+ and train/world-micro", refusal), refusal
    assert "--keys" in refusal


def test_status_and_report(finished: Face) -> None:
    line = next(line for line in finished.w2s("status").out.splitlines() if line.startswith("small"))
    assert line.split()[:2] == ["small", "3"]
    assert finished.w2s("report", "runs/small").out == finished.w2s("report", "small").out
    assert "w2s status" in finished.w2s("report", "nope").refusal


def test_status_of_nothing(face: Face) -> None:
    ended = face.w2s("status")
    assert ended.code == 0
    assert "no finished study" in ended.out


def test_doctor(face: Face) -> None:
    ended = face.w2s("doctor", "--store", str(face.store))
    assert ended.code == 0, ended.out
    assert "store: " in ended.out
    assert "fail" not in ended.out
    (face.folder / "taken").write_text("")
    bad = face.w2s("doctor", "--store", str(face.folder / "taken"))
    assert bad.code == 1
    assert "fail store" in bad.out
    assert "give another one" in bad.out
    assert face.w2s("doctor", "--store", "store").code == 1


def test_a_failing_cell_does_not_stop_the_others(face: Face) -> None:
    changes = {"grid": {"train.strong.lr": [1e-3, 1e30]}, "train.strong.clip": None, "train.strong.batch": 8}
    ended = face.run(changes)
    assert ended.code == 1, ended.err
    results = face.results()
    parse(results)
    assert [cell["status"] == "failed" for cell in results["cells"]] == [False] * 3 + [True] * 3
    failed = results["cells"][-1]
    assert "the loss is nan" in failed["reason"]
    assert "lower train.lr" in failed["reason"]
    assert results["summary"], "the cells that ended are in the table"
    assert "3 failed: naive (train.strong.lr=1e+30)" in ended.err
    assert sum(line.startswith("the loss is nan") for line in ended.err.splitlines()) == 1, (
        "equal mistakes are shown once"
    )
    assert "Traceback" not in ended.err
    assert "failed" in (face.folder / "runs" / "small" / "report.md").read_text(encoding="utf-8")
    status = face.w2s("status").out
    assert "FitError: the loss is" in status
    shutil.rmtree(face.folder / "runs")
    assert face.run(changes).code == 1
    executed = face.results()["steps"]["by_step"]
    assert "executed" not in executed["train"], "what failed is tried again, what ended is not"


def test_extends_set_and_grid_together(face: Face) -> None:
    face.study({"seeds": [0, 1]}, file="below.yaml")
    (face.folder / "above.yaml").write_text(
        "extends: below.yaml\ntrain: {strong: {epochs: 2}}\ngrid: {models.strong: [world/micro, world/mini]}\n",
        encoding="utf-8",
    )
    study = load_study(
        face.folder / "above.yaml",
        ["train.strong.loss.type=logconf", "train.strong.loss.aux=0.25", "seeds=[5]", "train.weak.lr=3e-4"],
    )
    assert [cell.config.models.strong for cell in study.cells] == ["world/micro", "world/mini"]
    strong, weak = study.config.train.strong, study.config.train.weak
    assert (strong.epochs, strong.lr, strong.loss.aux, weak.lr) == (2, 1e-3, 0.25, 3e-4)  # type: ignore[attr-defined]
    assert [cell.seed for cell in study.cells] == [5, 5]
    (face.folder / "three.yaml").write_text("extends: above.yaml\n", encoding="utf-8")
    assert "may not extend another one" in face.w2s("plan", "three.yaml").refusal


def test_yaml_merge_keys(face: Face) -> None:
    text = (face.folder / face.study()).read_text(encoding="utf-8")
    text += "resources:\n  weak: &r {cpus: 1, micro_tokens: 512}\n  strong: {<<: *r, micro_tokens: 1024}\n"
    (face.folder / "study.yaml").write_text(text, encoding="utf-8")
    resources = load_study(face.folder / "study.yaml").config.resources
    assert (resources.strong.micro_tokens, resources.weak.micro_tokens, resources.strong.cpus) == (1024, 512, 1)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_loads_plans_and_states_a_hypothesis(face: Face, path: Path) -> None:
    study = load_study(path)
    assert len(study.config.hypothesis.split()) > 5
    names = (path.stem, f"{path.parent.name}-{path.stem}")
    assert study.config.name.replace("_", "-") in [name.replace("_", "-") for name in names]
    if study.config.tune is not None:
        searched(study)
    _skip_without_its_parts(study)
    ended = face.w2s("plan", str(path), "--store", str(face.store), "--address", "auto")  # where devices and models are
    assert ended.code == 0, ended.err
    assert f"{len(study.cells)} cells" in ended.out


def test_a_search_that_cannot_be_is_refused_before_anything_runs(face: Face) -> None:
    assert "tune is missing" in face.w2s("tune", face.study()).refusal
    none = {"tune": {"space": {"train.weak.epochs": {"int": [0, 2]}}}}
    assert "at 0 the study is not valid: train.weak.epochs is 0" in face.w2s("tune", face.study(none)).refusal
    wrong = {"tune": {"space": {"models.weak": {"choice": ["world/nano", "wrold/micro"]}}}}
    assert "'wrold/micro' is not" in face.w2s("tune", face.study(wrong)).refusal
    assert not (face.folder / "runs").exists()


def _skip_without_its_parts(study: Any) -> None:
    """Files beside the checkout and packages with models are not everywhere."""
    import importlib.util

    for cell in study.cells:
        for source in filter(None, (cell.config.task.data, cell.config.task.test_data)):
            if source.startswith("file:") and not (study.base / source.removeprefix("file:")).is_file():
                pytest.skip(f"{source} is not here")
        for model in (cell.config.models.weak, cell.config.models.strong):
            if (
                model.startswith("package:")
                and importlib.util.find_spec(model.removeprefix("package:").partition("/")[0]) is None
            ):
                pytest.skip(f"{model} is not installed")


# --- Ctrl-C ---

LONG = {"train.strong.epochs": 400, "train.strong.batch": 2, "seeds": [0, 1, 2]}
RAY = pytest.param((), marks=pytest.mark.ray, id="ray")


@pytest.mark.parametrize("where", [pytest.param(("--local",), id="local"), RAY])
def test_ctrl_c_stops_and_the_same_command_continues(face: Face, where: tuple[str, ...]) -> None:
    file = face.study(LONG)
    process = _start_until_running(face, file, *where)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"w2s run {file}" in err.splitlines()[-1], "says how to continue"
    assert "Traceback" not in err
    finished = {key for key in _recorded(face.store, "train") if "nano" in key}
    assert finished, "what was finished is kept"
    ended = face.w2s("run", face.study({**LONG, "seeds": [0]}), "--local", "--set", "train.strong.epochs=1")
    assert ended.code == 0, ended.err
    assert "leased" not in ended.err, "no lease of the stopped run blocks the next"
    assert face.results()["steps"]["reused"] > 0, "the second run continues"


def test_a_run_is_seen_and_stopped_from_elsewhere_by_its_store(face: Face) -> None:
    process = _start_until_running(face, face.study(LONG), "--local")
    seen = face.w2s("status").out
    logs = face.w2s("logs", "small", "--store", str(face.store))
    assert re.search(r"^\d\d:\d\d:\d\d  running train/world-\w+-full", logs.out, re.MULTILINE), logs.out
    following = subprocess.Popen(
        face.command("logs", "small", "--follow", "--store", str(face.store)), stdout=subprocess.PIPE, text=True,
        cwd=face.folder,
    )  # fmt: skip
    assert following.stdout is not None
    assert re.match(r"\d\d:\d\d:\d\d  ", following.stdout.readline())
    ended = face.w2s("stop", "small", "--store", str(face.store))
    following.communicate(timeout=60)
    assert following.returncode == 0, "it ends with the run"
    _, err = process.communicate(timeout=60)
    assert re.search(
        r"small: driver \w{8}, process \d+: 0 of 3 cells; \d+ made, \d+ reused, 0 failed(; \S+ device-hours)?;"
        r" running train/",
        seen,
    ), seen
    assert (ended.code, ended.out) == (0, "1 of 1 drivers of small have stopped\n"), ended.err
    assert process.returncode == 130, err
    assert "to continue, run the same command again" in err
    assert "no driver of 'small' works on" in face.w2s("stop", "small", "--store", str(face.store)).refusal
    assert not list((face.store / "stops").glob("*")), "what asked it is gone"


def test_a_second_ctrl_c_ends_at_once(face: Face) -> None:
    process = _start_until_running(face, face.study(LONG), "--local")
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_killed_run_leaves_no_lease_that_blocks(face: Face) -> None:
    process = _start_until_running(face, face.study(LONG), "--local")
    process.kill()
    process.communicate(timeout=20)
    assert list((face.store / "leases").iterdir()), "it had leases"
    assert "dead: the next run takes over" in face.w2s("status").out
    ended = face.w2s("run", face.study({**LONG, "seeds": [0]}), "--local", "--set", "train.strong.epochs=1")
    assert ended.code == 0, ended.err
    assert "leased" not in ended.err


def _start_until_running(face: Face, file: str, *more: str) -> subprocess.Popen[str]:
    """Start a run; returns when the strong model trains."""
    process = subprocess.Popen(
        face.command("run", file, *more),
        cwd=face.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    deadline = time.monotonic() + 120
    while not any("nano" in key for key in _recorded(face.store, "train")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    return process


def _recorded(store: Path, step: str) -> list[str]:
    return [path.parent.name for path in store.glob(f"{step}/*/record.json")]


def test_the_module_can_be_run(face: Face) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "w2s_ray", "--help"],
        capture_output=True,
        text=True,
        cwd=face.folder,
        timeout=60,
        check=True,
    )
    assert "quickstart" in done.stdout


def test_a_page_of_a_run_and_one_of_all_runs(finished: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    page = finished.folder / "runs" / "small" / "report.html"
    page.unlink()
    assert "report.html" in finished.w2s("report", "small", "--open").out
    assert page.is_file() and opened == [page.as_uri()]
    (finished.folder / "runs" / "odd").mkdir()
    (finished.folder / "runs" / "odd" / "results.json").write_text("[]")
    assert "page of 1 runs" in finished.w2s("report", "--index").out
    index = (finished.folder / "runs" / "index.html").read_text(encoding="utf-8")
    assert 'href="small/report.html"' in index and "odd: " in index
    (finished.folder / "runs" / "odd" / "results.json").unlink()
    for wrong in (("report",), ("report", "small", "--index")):
        assert "--index for a page of all" in finished.w2s(*wrong).refusal


SPLITS = ("labelled", "pool", "test")


def test_a_run_tells_what_went_in_and_what_makes_its_numbers_mean_less(face: Face) -> None:
    """Too few rows, cut texts, a class that is there once, a teacher at chance."""
    rows = [{"text": f"word{n} " * 40 if n == 3 else f"word{n} here", "label": n % 2} for n in range(150)]
    rows[7]["label"] = 3
    face.run(
        {
            "task": {"data": face.rows("rows.jsonl", rows), **dict.fromkeys(SPLITS, 60), "max_chars": 100},
            "train": {"weak": {"lr": 1e-5, "epochs": 1}, "strong": {"lr": 1e-5, "epochs": 3}},
            "seeds": [0],
        }
    )
    results = face.results()
    said = "\n".join(results["remarks"])
    assert "rows were asked for" in said and "class '3' has" in said and "cut at their greatest length" in said
    assert "the weak teacher is no better than the most frequent class" in said
    assert [split["rows"] for split in results["tasks"][0]["splits"].values()]
    assert {one["role"]: one["recipe"]["epochs"] for one in results["fitted"]} == {"weak": 1, "strong": 3}
    page = (face.folder / "runs" / "small" / "report.md").read_text(encoding="utf-8")
    for remark in results["remarks"]:
        assert remark in page
