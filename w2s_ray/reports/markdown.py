"""A study's results as one Markdown page: what was expected, what came out with intervals, what was left out and why,
how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from w2s_ray.reports.comparisons import comparisons_section
from w2s_ray.reports.schema import Cell, Results, SummaryRow, parse
from w2s_ray.reports.sizes import COLUMNS, CSV_FILE, PICTURE, size_rows
from w2s_ray.reports.sweep import sweep_section
from w2s_ray.reports.table import line, table
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
    seeds,
)

PLACEMENT_MARK = "‡"
NOTABLE_UNDEFINED = 0.005  # of an interval's draws; a fifth of a 95 % interval's tail
CEILING_ROWS = {
    "labelled": "the labelled half (the weak teacher's own rows)",
    "pool": "the pool (the rows that the student sees)",
}


def report(results: Mapping[str, Any]) -> str:
    """The page. Raises when `results` does not fit the schema."""
    return report_of(parse(results))


def report_of(checked: Results) -> str:
    """The page of results that were read."""
    sections = [
        _head(checked),
        _gap_table(checked),
        comparisons_section(checked),
        sweep_section(checked),
        _excluded(checked),
        _stages(checked),
        _sizes(checked),
        _seed_table(checked),
        _keys(checked),
        _steps(checked),
        _repeat(checked),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(results: Results) -> str:
    return f"# {line(results.name)}\n\n**Hypothesis.** {line(results.hypothesis) or 'None was stated.'}"


def _gap_table(results: Results) -> str:
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
    rows = [_gap_row(results, row) for row in results.summary]
    shown = table(header, rows, numbers_from=3) if rows else "No cell could be scored."
    return "\n\n".join(["## Gap recovered", shown, "\n".join(f"- {note}" for note in _notes(results))])


def _gap_row(results: Results, row: SummaryRow) -> tuple[str, ...]:
    scale = scale_of(results)
    marks = GOLD_MARK * results.saw_gold(row.group) + PLACEMENT_MARK * (len(row.placements) > 1)
    names = (row.method + (f" {marks}" if marks else ""), row.task, f"{row.weak} → {row.strong}")
    counts = (seeds(row, len(results.cells_of(row))), NOTHING if row.num_test is None else str(row.num_test))
    return (
        *names,
        gap_recovered(row),
        ratio(row.pgr.mean),
        *counts,
        scale.mean(row.floor),
        scale.mean_with_interval(row.student),
        scale.mean(row.ceiling),
    )


def _notes(results: Results) -> list[str]:
    """What a reader must know to read the table; marks are explained only where they are used."""
    trained = CEILING_ROWS.get(results.ceiling_rows or "", results.ceiling_rows) or "rows that the results do not name"
    notes = [
        (
            f"Gap recovered = (student − floor) / (ceiling − floor) in {scale_of(results).name}, the median over seeds;"
            " 0 is the weak teacher, 1 the ceiling. Intervals: bootstrap over seeds and test rows. `no gap`: the"
            " ceiling does not clearly exceed the floor, so there is no ratio to speak of."
        ),
        f"Floor: the weak teacher. Ceiling: the strong model trained on the gold labels of {trained}.",
    ]
    if any(cell.status == "no_floor" for cell in results.cells):
        notes.append(
            "`no floor`: the weak labels came without a teacher that has said anything of the test rows, so the student"
            " stands beside the ceiling alone."
        )
    if results.tuned is not None:
        notes.append(f"The recipe was tuned, {SELECTED[results.tuned.select_on]} (`{results.tuned.search}`).")
    if any(row.num_seeds - len(row.excluded) == 1 for row in results.summary):
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


def _excluded(results: Results) -> str:
    """Every cell that does not count, with its reason: from the cell, else from the summary."""
    stated = {(row.group, excluded.seed): excluded.reason for row in results.summary for excluded in row.excluded}
    dropped = [cell for cell in results.cells if cell.status != "ok"]
    if not dropped:
        return "## Excluded cells\n\nNone."
    reasons = [cell.reason or stated.get((cell.group, cell.seed), "No reason was recorded.") for cell in dropped]
    lines = [
        f"- {line(_where(cell))}: {_status(cell)}. {line(reason)}"
        for cell, reason in zip(dropped, reasons, strict=True)
    ]
    return "\n".join(["## Excluded cells", "", *lines])


def _seed_table(results: Results) -> str:
    if not results.cells:
        return ""
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
    return (
        "## Every"
        f" seed\n\n{table(header, (_seed_row(cell, scale_of(results)) for cell in results.cells), numbers_from=5)}"
    )


def _seed_row(cell: Cell, scale: Scale) -> tuple[str, ...]:
    names = (
        cell.method + f" {GOLD_MARK}" * cell.gold_supervised,
        cell.task,
        f"{cell.weak} → {cell.strong}",
        str(cell.seed),
        _status(cell),
    )
    return (
        *names,
        scale.show(cell.floor),
        scale.show(cell.student),
        scale.show(cell.ceiling),
        ratio(cell.pgr),
        str(cell.num_test),
    )


def _stages(results: Results) -> str:
    """Students in turn: means over seeds of each one's accuracy, and of its labels'."""
    rows = []
    for group, cells in results.groups.items():
        told = [cell.stages for cell in cells if cell.stages]
        for place in range(min(map(len, told), default=0)):
            here = [stages[place] for stages in told]
            accuracies = (fmean(stage.labels for stage in here), fmean(stage.student for stage in here))
            rows.append(
                (
                    group[0],
                    group[1],
                    f"{group[2]} → {group[3]}",
                    str(place + 1),
                    here[0].name,
                    str(len(here)),
                    *map(percent, accuracies),
                )
            )
    if not rows:
        return ""
    header = (
        "method",
        "task",
        "weak → strong",
        "stage",
        "student",
        "seeds",
        "accuracy of its labels",
        "its test accuracy",
    )
    return f"## Students in turn\n\n{table(header, rows, numbers_from=5)}"


def _sizes(results: Results) -> str:
    """1, 2, 4, 8 … members and all of them."""
    rows = size_rows(results)
    if not rows:
        return ""
    most = {tuple(row[name] for name in COLUMNS[:4]): row["members"] for row in rows}
    shown = [
        row
        for row in rows
        if row["members"].bit_count() == 1 or row["members"] == most[tuple(row[name] for name in COLUMNS[:4])]
    ]
    header = (
        "method",
        "task",
        "weak → strong",
        "members",
        "seeds",
        "label accuracy",
        "calibration error",
        "disagreement",
    )
    lines = [
        (
            row["method"],
            row["task"],
            f"{row['weak']} → {row['strong']}",
            str(row["members"]),
            str(row["seeds"]),
            *(percent(row[n]) for n in ("accuracy", "ece", "disagreement")),
        )
        for row in shown
    ]
    note = (
        f"The first members' labels of the pool, combined as the method combines them; all sizes are in `{CSV_FILE}`"
        f" and `{PICTURE}`. They are measured on the pool's gold, so no size may be chosen by them."
    )
    return f"## Ensemble sizes\n\n{table(header, lines, numbers_from=3)}\n\n{note}"


def _keys(results: Results) -> str:
    lines = [
        f"- {line(_where(cell))}: " + ", ".join(f"{role} `{key}`" for role, key in cell.keys.items())
        for cell in results.cells
        if cell.keys
    ]
    return "\n".join(["## Artifacts", "", *lines]) if lines else ""


def _steps(results: Results) -> str:
    steps = results.steps
    return (
        f"## Steps\n\n{steps.executed} executed, {steps.reused} reused, {steps.failed} failed, in"
        f" {duration(results.seconds)}."
    )


def _repeat(results: Results) -> str:
    commit = f"`{results.commit}`" if results.commit else "not recorded"
    facts = f"- config digest: `{results.config_digest}`\n- commit: {commit}"
    promise = (
        "`w2s run` on a config of this digest at this commit gives these numbers; steps that are in the store are not"
        " run again."
    )
    return f"## How to reproduce\n\n{facts}\n\n{promise}"


def _where(cell: Cell) -> str:
    return f"{cell.method}, {cell.task}, {cell.weak} → {cell.strong}, seed {cell.seed}"


def _status(cell: Cell) -> str:
    return cell.status.replace("_", " ")
