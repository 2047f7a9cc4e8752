"""Data frames of results: the same columns and types, whatever failed and whatever things are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import w2s_ray as w2s
from w2s_ray.api.frames import COMPARISONS, SUMMARY
from w2s_ray.api.results import StudyResults
from w2s_ray.reports.schema import parse

NAMES = {"task": "topic", "weak": "world/nano", "strong": "world/small"}
ODD = "<img src=x onerror=alert(1)> | $x$ [red]"


def cell(method: str, seed: int, pgr: float | None = 0.5, **more: Any) -> dict[str, Any]:
    scores = {"floor": 0.6, "student": 0.7, "ceiling": 0.8, "pgr": pgr, "num_test": 100}
    return {"method": method, **NAMES, "seed": seed, "status": "ok", **scores, **more}


def failed(method: str, seed: int, **more: Any) -> dict[str, Any]:
    return {"method": method, **NAMES, "seed": seed, "status": "failed", "reason": "step x failed: no", **more}


def row(method: str) -> dict[str, Any]:
    pgr = {"median": 0.5, "mean": 0.5, "low": 0.4, "high": 0.6}
    student = {"mean": 0.7, "low": 0.6, "high": 0.8}
    return {"method": method, **NAMES, "num_seeds": 1, "pgr": pgr, "student": student, "floor": {"mean": 0.6}}


def results(cells: list[dict[str, Any]], folder: Path = Path("nowhere"), **more: Any) -> StudyResults:
    steps = {"executed": 1, "reused": 0, "failed": 0}
    raw = {
        "schema": 1, "name": "odd", "hypothesis": "", "config_digest": "0", "cells": cells, "summary": [],
        "steps": steps, "seconds": 1.0, **more,
    }  # fmt: skip
    return StudyResults(parse(raw), str(folder))


def test_a_failed_cell_has_its_reason_and_no_numbers() -> None:
    more = {"grid": {"train.strong.lr": 0.1}, "metrics": {"student": {"auroc": 0.9, "reasons": {"x": 1}}}}
    frame = results([cell("naive (train.strong.lr=0.1)", 0, **more), failed("naive", 1)]).cells
    good, bad = frame.iloc[0], frame.iloc[1]
    assert (good["method_name"], good["train.strong.lr"], good["student.auroc"]) == ("naive", 0.1, 0.9)
    assert "student.reasons" not in frame
    assert (bad["status"], bad["reason"]) == ("failed", "step x failed: no")
    assert frame.loc[1, ["floor", "student", "ceiling", "pgr", "student.auroc", "train.strong.lr"]].isna().all()


def test_columns_and_types_do_not_depend_on_what_failed() -> None:
    good, bad, none = (results(cells).cells for cells in ([cell("naive", 0)], [failed("naive", 0)], []))
    assert list(good) == list(bad) == list(none)
    for name in ("floor", "student", "ceiling", "pgr", "seconds"):
        assert {frame[name].dtype.name for frame in (good, bad, none)} == {"float64"}
    assert {frame["num_test"].dtype.name for frame in (good, bad, none)} == {"Int64"}


def test_what_a_grid_chose_can_be_grouped_by() -> None:
    points = [
        {"models": {"weak": "a", "strong": "b"}, "train.strong.betas": [0.9, 0.99], "task": {"data": "x"}},
        {"models": {"weak": "a", "strong": "c"}, "train.strong.betas": [0.9, 0.95], "task": {"data": "x"}},
    ]
    frame = results([cell("naive", n, grid=point) for n, point in enumerate(points)]).cells
    assert list(frame.groupby(["models.strong", "train.strong.betas", "task.data"]).size()) == [1, 1]
    assert list(frame["task"]) == ["topic", "topic"], "a column of the grid replaces none"


def test_what_stands_beside_the_schema_may_be_anything() -> None:
    for odd in (None, [1], "x", {"student": [1]}, {"student": {"auroc": "high"}}):
        frame = results([cell("naive", 0, grid=odd)]).cells
        assert frame["method_name"].tolist() == ["naive"] and frame["student"].tolist() == [0.7]


def test_a_method_whose_cells_all_failed_stays_in_the_summary() -> None:
    frame = results([cell("naive", 0), failed("other", 0), failed("other", 1)], summary=[row("naive")]).summary
    assert list(frame) == list(SUMMARY)
    assert list(frame["num_failed"]) == [0, 2] and list(frame["num_seeds"]) == [1, 0]
    assert frame["pgr"].tolist()[0] == 0.5 and frame["pgr"].isna().tolist() == [False, True]
    assert (frame.loc[0, "student_low"], frame.loc[0, "student_high"]) == (0.6, 0.8)
    assert frame["ceiling"].isna().all() and frame["ceiling"].dtype.name == "float64"


def test_comparisons_are_there_or_empty_with_the_same_columns() -> None:
    said = {
        "method": "m", "baseline": "naive", "num_seeds": 2, "wins": 1, "losses": 1, "ties": 0, "p": 0.5, "p_holm": 1.0,
        "difference": {"mean": 0.1, "low": 0.0, "high": 0.2}, "pgr_difference": {"median": None, "num_cells": 0},
    }  # fmt: skip
    overall = said | {"num_tasks": 2, "num_groups": 2, "num_cells": 4}
    made = {"num_tests": 2, "pairs": [said | NAMES], "overall": [overall], "skipped": []}
    frame, empty = results([], comparisons=made).comparisons, results([]).comparisons
    assert list(frame) == list(empty) == list(COMPARISONS) and len(empty) == 0
    assert list(frame["over"]) == ["pair", "all"] and list(frame["num_cells"]) == [2, 4]
    assert frame["task"].tolist()[0] == "topic" and pd.isna(frame["task"].tolist()[1])
    assert frame["pgr_difference"].isna().all() and frame["pgr_difference"].dtype == empty["p"].dtype == "float64"


def test_names_are_anybodys() -> None:
    """In HTML they are escaped, on a terminal their codes do nothing, in a frame they are what they are."""
    odd = results([cell(ODD, 0), failed("\x1b[31mred", 1)], summary=[row(ODD)])
    assert "<img" not in odd._repr_html_() and "&lt;img" in odd._repr_html_()
    assert "\x1b" not in odd.table() and "[red]" in odd.table()
    assert list(odd.cells["method"]) == [ODD, "\x1b[31mred"]


def test_predictions_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?"
    folder.mkdir()
    found = results([cell("naive", 0)], folder)
    with pytest.raises(w2s.InputError, match=r"cells\.parquet: no such file; a run without a scored cell"):
        found.predictions
    (folder / "cells.parquet").write_bytes(b"no parquet")
    with pytest.raises(w2s.InputError, match="cannot be read"):
        found.predictions
    pd.DataFrame({"split": ["test"], "gold": [1]}).to_parquet(folder / "cells.parquet")
    assert len(found.predictions) == 1 and found.predictions is found.predictions


def test_failures_raise_where_one_asks_for_it() -> None:
    good = results([cell("naive", 0)])
    assert good.raise_for_failures() is good and good.failures == []
    group = {"error": "step x\nfailed", "traceback": "", "log": "", "users": False, "cells": [NAMES, NAMES]}
    bad = results([failed("a", 0), failed("a", 1), cell("b", 0)], failures=[group])
    with pytest.raises(w2s.CellsFailed, match="odd: 2 of 3 cells failed: 2 with step x failed"):
        bad.raise_for_failures()
    with pytest.raises(w2s.InputError):
        results([failed("a", 0)], failures=[group | {"users": True}]).raise_for_failures()
    assert repr(bad) == "<StudyResults odd: 3 cells, 2 failed>"


def test_figures_draw_themselves() -> None:
    pair = {"weak": "a", "num_seeds": 1, "num_gap": 1, "floor": 0.6, "student": 0.7, "ceiling": 0.8, "pgr": 0.5}
    pairs = [pair | {"strong": name} for name in ("b", ODD)]
    ladder = {"method": "naive", "task": ODD, "median_pgr_openai": 0.5, "num_runs_openai": 2, "pairs": pairs}
    figures = results([cell("naive", 0)], sweep=[ladder]).figures
    assert list(figures) == ["sweep"] and "<svg" in figures["sweep"]._repr_svg_()
    assert "<svg" in figures._repr_html_() and "<img" not in figures._repr_html_()
    assert len(results([]).figures) == 0


def test_a_figure_is_saved_where_it_is_wanted(tmp_path: Path) -> None:
    pair = {"weak": "a", "num_seeds": 1, "num_gap": 1, "floor": 0.6, "student": 0.7, "ceiling": 0.8, "pgr": 0.5}
    ladder = {"method": "naive", "task": "t", "median_pgr_openai": 0.5, "num_runs_openai": 2}
    figures = results([], sweep=[ladder | {"pairs": [pair | {"strong": name} for name in "bc"]}]).figures
    assert figures["sweep"].save(tmp_path / "ladder.svg").read_text().rstrip().endswith("</svg>")


def test_results_are_found_by_name_folder_and_url(tmp_path: Path) -> None:
    import fsspec

    raw = results([cell("naive", 0)]).data.model_dump(mode="json", by_alias=True)
    folder = tmp_path / "runs" / "my study"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(raw))
    (folder / "config.resolved.yaml").write_text("name: odd\n")
    for found in (w2s.results("my study", tmp_path / "runs"), w2s.results(folder)):
        assert found.folder == str(folder) and found.config == {"name": "odd"}
    fs = fsspec.filesystem("memory")
    fs.put(str(folder), "/runs/there", recursive=True)
    pd.DataFrame({"gold": [1, 0]}).to_parquet("memory://runs/there/cells.parquet")
    for found in (w2s.results("there", "memory://runs"), w2s.results("memory://runs/there/")):
        assert found.config == {"name": "odd"} and len(found.predictions) == 2
    with pytest.raises(w2s.InputError, match="no such file; `w2s status` lists"):
        w2s.results("other", tmp_path / "runs")
