"""The page's own sections: what came out, what was left out and why, every seed, and how to repeat it."""

from __future__ import annotations

from w2s_ray.reports.document import Entry, Link, Notes, Paragraph, Part, Section, Table
from w2s_ray.reports.pages.pictures import gap_figure
from w2s_ray.reports.schema import CellResult, Results, SummaryRow
from w2s_ray.reports.wording import (
    GOLD_MARK,
    NOTHING,
    SAW_GOLD,
    SELECTED,
    Scale,
    duration,
    gap_recovered,
    percent,
    ratio,
    scale_of,
    seed_shown,
    seeds,
)

PLACEMENT_MARK = "‡"
PREDICTIONS = "cells.parquet"
FILES = {
    "config.resolved.yaml": "all keys of the study, with the values that were used",
    PREDICTIONS: "every prediction of every cell on the test rows, and the labels on the pool",
    "results.json": "all numbers of this page, and the keys of what they rest on",
}
NOTABLE_UNDEFINED = 0.005  # of an interval's draws; a fifth of a 95 % interval's tail
INTERVALS = (
    "Intervals: bootstrap over seeds and test rows. `no gap`: the ceiling does not clearly exceed the floor, so there"
    " is no ratio to speak of."
)
IMPORTED_INTERVALS = (
    "No intervals: that code saves no answers on the test rows, so what a difference of a few rows would do cannot be"
    " said. `no gap`: the ceiling is not above the floor. Every ratio over a small gap is mostly noise."
)
CEILING_ROWS = {
    "labelled": "the labelled half (the weak teacher's own rows)",
    "pool": "the pool (the rows that the student sees)",
}


def gap_section(results: Results) -> Section:
    """A row a method, task and pair of models."""
    header = (
        "method",
        "task",
        "weak → strong",
        "gap recovered [95 %]",
        "mean",
        "seeds",
        "test rows",
        "floor",
        "student [95 %]",
        "ceiling",
    )
    rows = tuple(_gap_row(results, row) for row in results.summary)
    shown: Part = Table(header, rows, 3) if rows else Paragraph("No cell could be scored.")
    figure = gap_figure(results)
    notes = Notes((*_notes(results), *results.remarks))
    return Section("Gap recovered", (*((figure,) if figure else ()), shown, notes))


def _gap_row(results: Results, row: SummaryRow) -> tuple[Entry, ...]:
    """Its numbers lead to the seeds behind them."""
    scale = scale_of(results)
    cells = results.cells_of(row)
    first = results.place_of(cells[0]) if cells else None
    marks = GOLD_MARK * results.saw_gold(row.group) + PLACEMENT_MARK * (len(row.placements) > 1)
    names = (row.method + (f" {marks}" if marks else ""), row.task, f"{row.weak} → {row.strong}")
    counts = (seeds(row, len(cells)), NOTHING if row.num_test is None else str(row.num_test))
    numbers = (
        gap_recovered(row),
        ratio(row.pgr.mean),
        *counts,
        scale.mean(row.floor),
        scale.mean_with_interval(row.student),
        scale.mean(row.ceiling),
    )
    return (*names, *(number if first is None else Link(number, f"#cell-{first}") for number in numbers))


def _notes(results: Results) -> list[str]:
    """What a reader must know to read the table; marks are explained only where they are used."""
    trained = CEILING_ROWS.get(results.ceiling_rows or "", results.ceiling_rows) or "rows that the results do not name"
    notes = [
        (
            f"Gap recovered = (student − floor) / (ceiling − floor) in {scale_of(results).name}, the median over seeds;"
            f" 0 is the weak teacher, 1 the ceiling. {IMPORTED_INTERVALS if results.imported else INTERVALS}"
        ),
        f"Floor: the weak teacher. Ceiling: the strong model trained on the gold labels of {trained}.",
    ]
    if results.imported is None and any(cell.status == "no_floor" for cell in results.cells):
        notes.append(
            "`no floor`: the weak labels came without a teacher that has said anything of the test rows, so the student"
            " stands beside the ceiling alone."
        )
    if results.tuned is not None:
        notes.append(f"The recipe was tuned, {SELECTED[results.tuned.select_on]} (`{results.tuned.search}`).")
    if results.imported is None and any(row.num_seeds - len(row.excluded) == 1 for row in results.summary):
        notes.append(
            "A row that rests on one seed has an interval over test rows alone; another seed may fall outside it."
        )
    undefined = max((row.pgr.undefined or 0.0 for row in results.summary), default=0.0)
    if undefined >= NOTABLE_UNDEFINED:
        notes.append(
            f"Up to {percent(undefined)} of an interval's draws had no positive gap and were left out: that interval is"
            " optimistic."
        )
    if any(results.saw_gold(row.group) for row in results.summary):
        notes.append(f"{GOLD_MARK} {SAW_GOLD}")
    if any(len(row.placements) > 1 for row in results.summary):
        notes.append(f"{PLACEMENT_MARK} The seeds ran on different placements, which perturbs numerics.")
    return notes


def excluded_section(results: Results) -> Section:
    """Every cell that does not count, with its reason: from the cell, else from the summary."""
    stated = {(row.group, excluded.seed): excluded.reason for row in results.summary for excluded in row.excluded}
    dropped = [cell for cell in results.cells if cell.status != "ok"]
    if not dropped:
        return Section("Excluded cells", (Paragraph("None."),))
    reasons = [cell.reason or stated.get((cell.group, cell.seed), "No reason was recorded.") for cell in dropped]
    lines = [f"{_where(cell)}: {_status(cell)}. {reason}" for cell, reason in zip(dropped, reasons, strict=True)]
    return Section("Excluded cells", (Notes(tuple(lines)),))


def seeds_section(results: Results) -> Section | None:
    """A row a cell."""
    if not results.cells:
        return None
    header = (
        "method",
        "task",
        "weak → strong",
        "seed",
        "status",
        "floor",
        "student",
        "ceiling",
        "gap recovered",
        "test rows",
    )
    rows = tuple(_seed_row(cell, place, scale_of(results)) for place, cell in enumerate(results.cells))
    ids = tuple(f"cell-{place}" for place in range(len(rows)))
    return Section("Every seed", (Table(header, rows, 5, ids),))


def _seed_row(cell: CellResult, place: int, scale: Scale) -> tuple[Entry, ...]:
    """Its numbers lead to the keys of what they were measured on."""
    names = (
        cell.method + f" {GOLD_MARK}" * cell.gold_supervised,
        cell.task,
        f"{cell.weak} → {cell.strong}",
        seed_shown(cell.seed),
        _status(cell),
    )
    values = (scale.show(cell.floor), scale.show(cell.student), scale.show(cell.ceiling), ratio(cell.pgr))
    numbers = (*values, NOTHING if cell.num_test is None else str(cell.num_test))
    return (*names, *(Link(number, f"#keys-{place}") if cell.keys else number for number in numbers))


def keys_section(results: Results) -> Section | None:
    """The keys of each cell's models and labels, which lead to their records."""
    held = [(place, cell) for place, cell in enumerate(results.cells) if cell.keys]
    if not held:
        return None
    roles = list(dict.fromkeys(role for _, cell in held for role in cell.keys))
    rows = tuple((_where(cell), *(_key(results, cell.keys.get(role)) for role in roles)) for _, cell in held)
    table = Table(("cell", *roles), rows, 1 + len(roles), tuple(f"keys-{place}" for place, _ in held))
    place = f" The store is `{results.store}`, from the folder of this report." if results.store else ""
    note = Paragraph(
        "A key names a folder of the store; its `record.json` says what it was made from, how, where and in what time."
        f" `w2s why KEY` explains it; the study's own values are in `config.resolved.yaml`.{place}"
    )
    return Section("Artifacts", (note, table), folded=True)


def _key(results: Results, key: str | None) -> Entry:
    """With a way to its record, where the store is on a disk."""
    if not key or not results.store or "://" in results.store:
        return key or NOTHING
    return Link(key, f"{results.store}/{key}/record.json")


def steps_section(results: Results) -> Section:
    """What the run did."""
    steps = results.steps
    done = f"{steps.executed} executed, {steps.reused} reused, {steps.failed} failed, in {duration(results.seconds)}."
    return Section("Steps", (Paragraph(done),))


def repeat_section(results: Results) -> Section:
    """What it takes to have these numbers again."""
    commit = f"`{results.commit}`" if results.commit else "not recorded"
    facts = (f"config digest: `{results.config_digest}`", f"commit: {commit}")
    promise = (
        "`w2s run` on a config of this digest at this commit gives these numbers; steps that are in the store are not"
        " run again."
    )
    there = [(Link(name, name), what) for name, what in FILES.items() if name != PREDICTIONS or _any_scored(results)]
    return Section("How to reproduce", (Notes(facts), Paragraph(promise), Table(("file", "what"), tuple(there), 2)))


def _any_scored(results: Results) -> bool:
    return any(cell.status != "failed" for cell in results.cells)


def _where(cell: CellResult) -> str:
    return f"{cell.method}, {cell.task}, {cell.weak} → {cell.strong}, seed {seed_shown(cell.seed)}"


def _status(cell: CellResult) -> str:
    return cell.status.replace("_", " ")
