"""What another code wrote, as our `results.json` and a page.

Nothing is estimated: an interval would need each model's answers on the test rows, which neither code saves, so
intervals of gap, floor, student and ceiling are null. Only the teachers' labels of the pool are there row by row.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from w2s_ray.config.schema import folder_name
from w2s_ray.core.errors import InputError
from w2s_ray.core.ids import content_digest
from w2s_ray.eval.gap import recovered
from w2s_ray.eval.intervals import mean_interval, resample
from w2s_ray.eval.measure import Measure, measured
from w2s_ray.eval.sweep import Run as Ran
from w2s_ray.eval.sweep import median_of_runs, pair_of
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.schema import parse
from w2s_ray.study.foreign import eleuther, openai
from w2s_ray.study.foreign.files import Folder
from w2s_ray.study.foreign.runs import Arm, Found, Labels, Run, named, varying
from w2s_ray.study.results import SCHEMA, write_last, write_page

ARMS = ("floor", "student", "ceiling")
TOLD = 500  # sentences in results.json


def import_folder(folder: Path, name: str | None) -> dict[str, Any]:
    """The content of results.json for a folder of either code."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the one that holds the other code's results")
    root = Path(os.path.abspath(folder))
    looked = Folder(root)
    found = [each for each in (openai.read(looked), eleuther.read(looked)) if each is not None]
    if len(found) > 1:
        raise InputError(f"{folder} holds results of {found[0].source} and of {found[1].source}; import their folders"
                         " one at a time")  # fmt: skip
    if not found or not found[0].runs:
        raise InputError(_nothing(folder, looked, found))
    return _results(name or _default_name(root, found[0]), found[0], looked)


def _nothing(folder: Path, looked: Folder, found: list[Found]) -> str:
    first = f"; the first thing that is odd: {looked.told[0]}" if looked.told else ""
    if found:
        return f"{folder} holds no student of {found[0].source} that can be read{first}"
    return (
        f"{folder} holds no results of openai/weak-to-strong (config.json beside results_summary.json, or"
        f" *.results_summary.json) or EleutherAI/w2s (config.json beside results.json with eval_auroc){first}"
    )


def _default_name(root: Path, found: Found) -> str:
    """The folder's, where it can be that of a study."""
    try:
        return folder_name(root.name)
    except ValueError:
        return found.source.partition("/")[0].lower()


def _results(name: str, found: Found, looked: Folder) -> dict[str, Any]:
    runs = _once(_in_order(found.runs), looked)
    cells = [_cell(run, found) for run in runs]
    summary = _summary(cells)
    told = [*looked.told[:TOLD], *([f"and {len(looked.told) - TOLD} more"] if len(looked.told) > TOLD else [])]
    body = {
        "ceiling_rows": found.ceiling_rows,
        "gap_se": None,
        "metric": found.metric,
        "cells": cells,
        "summary": summary,
        **({"sweep": ladder} if (ladder := _sweep(cells, summary)) else {}),
        "imported": {
            "from": found.source,
            "folder": looked.name(looked.root),
            "conventions": dict(found.conventions),
            "weak_labels": [_labels(labels) for labels in found.labels],
            "told": told,
        },
    }
    digest = content_digest([json.dumps(body, sort_keys=True)])[:16]
    head = {"schema": SCHEMA, "name": name, "hypothesis": "", "config_digest": digest, "commit": None}
    return {**head, **body, "steps": dict.fromkeys(("executed", "reused", "failed"), 0), "seconds": 0.0}


def _in_order(runs: Sequence[Run]) -> list[Run]:
    """By task and method, and along the ladder: the weaker teacher first, then the lower ceiling."""
    rows: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        rows[run.row].append(run)

    def level(row: list[Run], arm: str) -> float:
        known = [getattr(run, arm).accuracy or 0.0 for run in row if getattr(run, arm) is not None]
        return mean(known) if known else 0.0

    def place(row: list[Run]) -> tuple[Any, ...]:
        method, task, weak, strong = row[0].row
        return (task, method != "naive", method, level(row, "floor"), level(row, "ceiling"), weak, strong)

    return [run for row in sorted(rows.values(), key=place) for run in row]


def _once(runs: Sequence[Run], looked: Folder) -> list[tuple[str, Run]]:
    """Each run with the name that its method has in the table; the second of two runs of one cell is told and left
    out."""
    names = varying(runs)
    found: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        cell = (named(run, names), *run.row[1:], run.seed)
        first = found.setdefault(cell, run)
        if first is not run:
            looked.told.append(f"{run.folder}: the same cell as {first.folder}, which stands for it; left out")
    return [(str(cell[0]), run) for cell, run in found.items()]


def _cell(one: tuple[str, Run], found: Found) -> dict[str, Any]:
    method, run = one
    arms = {"floor": run.floor, "student": run.student, "ceiling": run.ceiling}
    values = {name: _value(arm, found) for name, arm in arms.items()}
    counts = {arm.num_test for arm in arms.values() if arm is not None}
    return {
        "method": method,
        "task": run.task,
        "weak": run.weak,
        "strong": run.strong,
        "seed": run.seed,
        **_gap(values, run.missing),
        **values,
        "num_test": counts.pop() if len(counts) == 1 else None,
        "metrics": {name: {**vars(arm)} for name, arm in arms.items() if arm is not None},
        "keys": {},
        "folder": run.folder,
        "settings": dict(run.settings),
    }


def _value(arm: Arm | None, found: Found) -> float | None:
    return None if arm is None else arm.auroc if found.metric == "auroc" else arm.accuracy


def _gap(values: dict[str, float | None], missing: str) -> dict[str, Any]:
    """Status, ratio and reason of a cell. The student is there."""
    floor, student, ceiling = (values[name] for name in ARMS)
    if ceiling is None or student is None:
        return {"status": "no_ceiling", "pgr": None, "reason": missing or "The ceiling's value is not there."}
    if floor is None:
        return {"status": "no_floor", "pgr": None, "reason": missing or "The floor's value is not there."}
    pgr = recovered(floor, student, ceiling)
    reason = f"The ceiling ({ceiling:.4f}) is not above the floor ({floor:.4f})." if pgr is None else ""
    return {"status": "no_gap" if pgr is None else "ok", "pgr": pgr, "reason": reason}


def _summary(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        rows[cell["method"], cell["task"], cell["weak"], cell["strong"]].append(cell)
    return [_row(group) for group in rows.values()]


def _row(cells: list[dict[str, Any]]) -> dict[str, Any]:
    pgrs = [cell["pgr"] for cell in cells if cell["pgr"] is not None]
    counts = [cell["num_test"] for cell in cells]
    return {
        **{name: cells[0][name] for name in ("method", "task", "weak", "strong")},
        "num_seeds": len(cells),
        "pgr": {
            "median": median(pgrs) if pgrs else None,
            "mean": mean(pgrs) if pgrs else None,
            "low": None,
            "high": None,
        },
        **{arm: _mean([cell[arm] for cell in cells]) for arm in ARMS},
        "num_test": None if None in counts else min(counts),
        "excluded": [{"seed": cell["seed"], "reason": cell["reason"]} for cell in cells if cell["status"] != "ok"],
    }


def _mean(values: list[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return {"mean": mean(known), "low": None, "high": None} if known else None


def _sweep(cells: list[dict[str, Any]], summary: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ladder, where there are several pairs of models; of pairs with a ceiling."""
    if len({(cell["weak"], cell["strong"]) for cell in cells}) < 2:
        return []
    ladders: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in summary:
        if row["ceiling"] is not None:
            ladders[row["method"], row["task"]].append(pair_of(row))
    return [
        {"method": method, "task": task, **median_of_runs(_ran(cells, method, task)), "pairs": pairs}
        for (method, task), pairs in ladders.items()
    ]


def _ran(cells: list[dict[str, Any]], method: str, task: str) -> list[Ran]:
    return [
        Ran(*(cell[name] for name in Ran._fields))
        for cell in cells
        if (cell["method"], cell["task"]) == (method, task) and cell["status"] in ("ok", "no_gap")
    ]


def _labels(labels: Labels) -> dict[str, Any]:
    """How good a teacher's labels are on their rows."""
    hard_N, probs_NK, gold_N = labels.labels.hard_N, labels.labels.probs_NK, labels.gold.hard_N
    both = len(set(gold_N.tolist())) == 2
    return {
        "weak": labels.weak,
        "task": labels.task,
        "seed": labels.seed,
        "num_rows": len(gold_N),
        "accuracy": _over_rows(labels, measured("accuracy", hard_N, probs_NK, gold_N)),
        "auroc": _over_rows(labels, measured("auroc", hard_N, probs_NK, gold_N)) if both else None,
    }


def _over_rows(labels: Labels, measure: Measure) -> dict[str, Any]:
    low, high = mean_interval(resample([labels.labels.ids], [[measure]])[:, :, 0])
    return {"mean": measure.value(), "low": low, "high": high}


def write_imported(folder: Path, results: dict[str, Any]) -> None:
    """Fill runs/NAME/."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_page(folder, study_page(parse(results)))
        write_last(folder, results)
    except OSError as error:
        raise InputError(f"--runs: {folder} cannot be written ({error.strerror}); give another folder") from None


def refuse_to_replace(folder: Path) -> None:
    """A study that has run is not replaced; an earlier import is."""
    path = folder / "results.json"
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = {"imported": not path.exists()}
    if not (isinstance(there, dict) and there.get("imported")):
        raise InputError(f"{folder} holds a study that has run; give the import another name with --name")
