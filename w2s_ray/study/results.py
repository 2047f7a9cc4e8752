"""`runs/<name>/`: the resolved config, results.json, every prediction, and a report. Each file is whole or absent; a
run that is repeated replaces them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from w2s_ray.config.load import Study, resolved
from w2s_ray.config.schema import STUDY
from w2s_ray.core.errors import InputError
from w2s_ray.core.identity import identity
from w2s_ray.engine.context import Context
from w2s_ray.engine.fingerprint import digest
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.store import Store
from w2s_ray.eval.score import CELLS, cell_names
from w2s_ray.reports.document import Document
from w2s_ray.reports.drawing import draw
from w2s_ray.reports.files import write_files
from w2s_ray.reports.html import render_page
from w2s_ray.reports.markdown import render
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.schema import parse
from w2s_ray.study.about import about
from w2s_ray.study.costs import costs
from w2s_ray.study.examples import examples
from w2s_ray.study.run import CellRun

SCHEMA = 1
PAGE = "report.html"
OF_THE_RUN = ("seconds", "steps")  # of the results, what another run of the same study changes
KEYS = ".keys"
STATE, BEGUN, ENDED = ".state", "begun", "ended"  # of a run: what its files name is all that it needs once it has ended
FROM_SCORE = (
    "status",
    "reason",
    "floor",
    "student",
    "ceiling",
    "pgr",
    "num_test",
    "metrics",
    "labels",
    "agreement",
    "slices",
)


def config_digest(study: Study) -> str:
    """Identity of the whole study: equal digests are equal experiments."""
    return digest(identity(study.config, STUDY))[:16]


def build_results(
    study: Study, context: Context, runs: Sequence[CellRun], tables: Mapping[str, Any], seconds: float,
    folder: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """The content of the folder's results.json (no folder: of one that will be copied to a URL); `tables` is the value
    of the `collect` step, empty where no cell has a score."""
    cells = [_cell(run, names) for run, names in zip(runs, cell_names([run.cell for run in runs]), strict=True)]
    placements: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for cell in cells:
        if "placement" in cell:
            placements[_group(cell)].add(cell["placement"])
    return {
        "schema": SCHEMA,
        "name": study.config.name,
        "hypothesis": study.config.hypothesis,
        "config_digest": config_digest(study),
        "commit": _commit(study.base),
        "ceiling_rows": study.config.ceiling_on,
        **({"tuned": study.config.tuned.model_dump()} if study.config.tuned else {}),
        "gap_se": study.config.gap_se,
        "metric": study.config.metric,
        "cells": cells,
        "summary": [row | {"placements": sorted(placements[_group(row)])} for row in tables.get("summary", ())],
        **{name: tables[name] for name in ("comparisons", "sweep", "said") if tables.get(name)},
        **about(study, context, runs, tables, folder),
        "steps": count_steps(context),
        "costs": costs(context, runs),
        "seconds": round(seconds, 3),
        "failures": failures(runs),
    }


def _cell(run: CellRun, names: dict[str, Any]) -> dict[str, Any]:
    grid = {"grid": run.cell.point} if run.cell.point else {}
    if run.score is None:
        return {**names, **grid, "status": "failed", "reason": run.error, "keys": run.keys, "num_test": 0, **run.facts}
    value = run.score.value
    return {**names, **grid, **{name: value[name] for name in FROM_SCORE}, "keys": run.keys, **run.facts}


def _group(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["method"], row["task"], row["weak"], row["strong"])


def count_steps(context: Context) -> dict[str, Any]:
    """How many results were made, reused and failed, in all and by step."""
    parts = {"executed": context.executed, "reused": context.reused, "failed": context.failed}
    by_step: dict[str, dict[str, int]] = defaultdict(dict)
    for part, keys in parts.items():
        for step, count in sorted(Counter(key.step for key in keys).items()):
            by_step[step][part] = count
    return {part: len(keys) for part, keys in parts.items()} | {"by_step": dict(sorted(by_step.items()))}


def failures(runs: Sequence[CellRun]) -> list[dict[str, Any]]:
    """Cells with equal tracebacks, together; most cells first."""
    groups: dict[str, list[CellRun]] = defaultdict(list)
    for run in runs:
        if run.error:
            groups[run.error if run.users else run.traceback].append(run)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [
        {
            "error": group[0].error,
            "traceback": group[0].traceback,
            "log": group[0].log,
            "users": group[0].users,
            "cells": cell_names([run.cell for run in group]),
        }
        for group in ordered
    ]


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ".probe", "")
        (folder / ".probe").unlink()
    except OSError as error:
        raise InputError(
            f"--runs: {folder} cannot be written ({error.strerror}); give another folder with --runs, or free space and"
            " permissions there"
        ) from None


def write_results(folder: Path, study: Study, results: dict[str, Any], collected: Handle | None) -> None:
    """Fill the run's folder, but for what `write_looks` makes. The predictions are copied only when they changed: a
    thousand cells have millions."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.resolved.yaml", resolved(study.config))
    if collected is not None:
        _copy_cells(folder, collected)
    write_last(folder, results)


def write_last(folder: Path, results: dict[str, Any]) -> None:
    """results.json: who finds it finds what it speaks of."""
    _write(folder / "results.json", _by_line(results))


def write_page(folder: Path, page: Document) -> None:
    """The report as Markdown and as a page, with its pictures and tables."""
    _write(folder / "report.md", render(page))
    _write_drawn(folder, page)


def _write_drawn(folder: Path, page: Document) -> None:
    pictures = draw(page)
    write_files(folder, page, pictures)
    _write(folder / PAGE, render_page(page, pictures))


def write_looks(folder: Path, results: Mapping[str, Any], store: Store | None, *, again: bool = False) -> None:
    """What people look at: the report as Markdown and as a page, its pictures and tables. Drawing takes seconds, so
    what shows these results already stays, unless it is asked for again. The page has rows that went wrong, where the
    store is at hand."""
    parsed = parse(results)
    _write(folder / "report.md", render(study_page(parsed)))
    shown = digest({name: value for name, value in results.items() if name not in OF_THE_RUN})
    stamp = folder / ".report"
    if not again and (folder / PAGE).is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == shown:
        return
    _write_drawn(folder, study_page(parsed, examples(parsed, folder, store) if store is not None else ()))
    _write(stamp, shown)


def write_state(folder: Path, state: str) -> None:
    """Whether a run is under way, or was broken off, so that a store can tell that not all it needs is named."""
    _write(folder / STATE, state)


def write_keys(folder: Path, context: Context) -> None:
    """All results that the run used, so that a store can tell what no run needs: a method may look at one (features
    that clean its labels) to which no other result leads."""
    _write(folder / KEYS, "".join(f"{key}\n" for key in sorted(s.key.full for s in context.submitted() if s.there)))


def _by_line(results: dict[str, Any]) -> str:
    """JSON with a line a key, and a line an entry of the long lists: for people, for diffs, and ten times as fast as
    `indent`."""
    return _lines(results, "\n") + "\n"


def _lines(value: Any, newline: str) -> str:
    """Lists of objects, and objects that hold such lists, over several lines; all else on one."""
    deeper = newline + " "
    if _is_long(value):
        return "[" + deeper + ("," + deeper).join(json.dumps(entry, allow_nan=False) for entry in value) + newline + "]"
    if isinstance(value, dict) and any(map(_is_long, value.values())):
        return (
            "{"
            + deeper
            + ("," + deeper).join(f"{json.dumps(key)}: {_lines(inner, deeper)}" for key, inner in value.items())
            + newline
            + "}"
        )
    return json.dumps(value, allow_nan=False)


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _copy_cells(folder: Path, collected: Handle) -> None:
    stamp = folder / ".cells"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == collected.key.full and (folder / CELLS).is_file():
        return
    part = folder / f".{CELLS}.{os.getpid()}"
    shutil.copyfile(collected.artifact().path / CELLS, part)
    os.replace(part, folder / CELLS)
    _write(stamp, collected.key.full)


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _commit(folder: Path) -> str | None:
    """The commit of the code that a study's YAML lies in, with a mark when files differ from it."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
