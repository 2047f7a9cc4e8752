"""`w2s compare`: runs in one table. Of two that share cells first where their numbers differ, cell by cell to the last
digit, and why by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from w2s_ray.cli.say import say
from w2s_ray.core.errors import InputError
from w2s_ray.engine.difference import SHOWN, difference, identity_of, shown, why_inputs
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.file import folder_of, read_results
from w2s_ray.reports.html import render_page
from w2s_ray.reports.pages.together import together_page
from w2s_ray.reports.predictions import Predictions
from w2s_ray.reports.schema import CellResult, Results
from w2s_ray.reports.terminal import lines

ARMS = ("floor", "student", "ceiling", "pgr")
CELLS = 20  # lines of them

Name = tuple[str, str, str, str, int | None]
Pair = tuple[Name, CellResult, CellResult]


def compare(console: Console, names: list[str], runs: Path, stores: tuple[str, str], html: Path | None = None) -> bool:
    """Print how the runs stand to each other, and write it as a page; whether nothing differs that should be the
    same."""
    if len(names) < 2:
        raise InputError("w2s compare needs two runs or more; `w2s status` lists those that there are")
    studies = [read_results(name, runs) for name in names]
    repeated = len(studies) == 2 and bool(_cells(studies[0]).keys() & _cells(studies[1]).keys())
    same = not repeated or _differ_nowhere(console, studies[0], studies[1], stores)
    if html is not None or not (repeated and same):
        predictions = [Predictions(folder_of(name, runs), study) for name, study in zip(names, studies, strict=True)]
        page = together_page(studies, predictions)
        for part in lines(page) if not (repeated and same) else ():
            say(console, part)
        if html is not None:
            _write(html, render_page(page))
            say(console, f"page: {html}")
    return same


def _write(file: Path, page: str) -> None:
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--html: {file} cannot be written ({error.strerror}); name another file") from None


def _differ_nowhere(console: Console, first: Results, second: Results, stores: tuple[str, str]) -> bool:
    """Print where two runs of the same cells differ, to the last digit, and why; whether they do not."""
    ours, theirs = _cells(first), _cells(second)
    pairs = [(name, ours[name], theirs[name]) for name in ours if name in theirs]
    moved = [pair for pair in pairs if _numbers(pair[1]) != _numbers(pair[2])]
    for label, alone in (("first", ours.keys() - theirs.keys()), ("second", theirs.keys() - ours.keys())):
        if alone:
            say(console, f"{len(alone)} cells are in the {label} alone, such as {_shown(min(alone, key=str))}")
    same = len(pairs) - len(moved)
    numbers = "floor, student, ceiling and gap recovered"
    say(console, f"{same} of {len(pairs)} cells have the same {numbers}, to the last digit")
    if moved:
        console.print(_table(moved), soft_wrap=True, markup=False)
        for line in (*_of_the_studies(first, second), *_why(moved, *map(open_store, stores))):
            say(console, line)
    return not moved and ours.keys() == theirs.keys()


def _cells(results: Results) -> dict[Name, CellResult]:
    return {(cell.method, cell.task, cell.weak, cell.strong, cell.seed): cell for cell in results.cells}


def _numbers(cell: CellResult) -> tuple[float | str | None, ...]:
    return (cell.status, *(getattr(cell, arm) for arm in ARMS))


def _shown(name: Name) -> str:
    method, task, weak, strong, seed = name
    return f"{method}, {task}, {weak} -> {strong}, seed {seed}"


def _table(moved: list[Pair]) -> Table:
    table = Table("cell", *(arm if arm != "pgr" else "gap recovered" for arm in ARMS), box=None, pad_edge=False)
    for name, one, other in moved[:CELLS]:
        table.add_row(_shown(name), *(_moved(getattr(one, arm), getattr(other, arm)) for arm in ARMS))
    if len(moved) > CELLS:
        table.add_row(f"… and {len(moved) - CELLS} more")
    return table


def _moved(one: float | None, other: float | None) -> str:
    if one == other:
        return "the same"
    return " -> ".join("none" if value is None else f"{value:.6g}" for value in (one, other))


def _of_the_studies(first: Results, second: Results) -> Iterator[str]:
    """What the two files say of themselves."""
    for name, one, other in (
        ("config digest", first.config_digest, second.config_digest),
        ("commit", first.commit, second.commit),
    ):
        if one != other:
            yield f"{name}: {one} -> {other}"


def _why(moved: list[Pair], one: Store, other: Store) -> Iterator[str]:
    """Which fields made the first differing key of a role another one, each finding once."""
    seen: dict[str, int] = {}
    for _, ours, theirs in moved:
        for role in ours.keys:
            if ours.keys[role] != theirs.keys.get(role, ours.keys[role]):
                for line in _fields(role, one.find(str(ours.keys[role])), other.find(str(theirs.keys[role])), one):
                    seen[line] = seen.get(line, 0) + 1
    if not seen:
        yield "the keys are the same: what they name was made by other code or on other devices"
    for line, count in list(seen.items())[:SHOWN]:
        yield f"{line} ({count} cells)" if count > 1 else line


def _fields(role: str, one: Record | None, other: Record | None, store: Store) -> Iterator[str]:
    if one is None or other is None:
        yield f"{role}: another key, whose record is not at hand; name the stores with --store and --other-store"
        return
    fields = difference(identity_of(one), identity_of(other))
    deeper = list(why_inputs(store, fields))
    explained = {name for name, *_ in deeper}
    for name, (a, b) in fields.items():
        if name not in explained:
            yield f"{role}: {name} is {shown(a)} -> {shown(b)}"
    for name, field, a, b in deeper:
        yield f"{role}: the {field} of its {name.removeprefix('inputs.')} is {shown(a)} -> {shown(b)}"
