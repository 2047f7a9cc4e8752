"""Each method against the baseline, for people: a section of the page, and a few words for the terminal."""

from __future__ import annotations

from w2s_ray.reports.document import Notes, Paragraph, Part, Section, Table
from w2s_ray.reports.pages.pictures import forest_figure
from w2s_ray.reports.schema import Comparison, Comparisons, OverallRow, PairedRow, Results
from w2s_ray.reports.wording import GOLD_MARK, Scale, probability, ratio_difference, scale_of

MOST_BRIEF = 3  # rows on the terminal
OVERALL = (
    "Rows `all` draw tasks too, each of which counts the same; there better, worse and equal count cells, and p flips"
    " all cells of a seed together."
)


def comparisons_section(results: Results) -> Section | None:
    """The table, what was left out, and what a reader must know; nothing where there is one method."""
    found = results.comparisons
    if found is None:
        return None
    scale = scale_of(results)
    rows = [
        *(_paired(results, row, scale) for row in found.pairs),
        *(_overall(results, row, scale) for row in found.overall),
    ]
    numbers = (
        f"{scale.differences} [95 %]",
        "better, worse, equal",
        "seeds",
        "p",
        "p (Holm)",
        "difference in gap recovered",
    )
    header = ("method", "against", "task", "weak → strong", *numbers)
    shown: Part = Table(header, tuple(rows), 4) if rows else Paragraph("No method could be compared.")
    lines = (*_notes(found, scale), *_left_out(found))
    figure = forest_figure(results)
    parts = (*((figure,) if figure else ()), shown, *((Notes(lines),) if lines else ()))
    return Section("Methods compared", parts)


def _paired(results: Results, row: PairedRow, scale: Scale) -> tuple[str, ...]:
    marks = [
        f" {GOLD_MARK}" * results.saw_gold((name, row.task, row.weak, row.strong))
        for name in (row.method, row.baseline)
    ]
    counted = str(row.num_seeds) if not row.left_out else f"{row.num_seeds} of {row.num_seeds + len(row.left_out)}"
    return (
        row.method + marks[0],
        row.baseline + marks[1],
        row.task,
        f"{row.weak} → {row.strong}",
        *_numbers(row, counted, scale),
    )


def _overall(results: Results, row: OverallRow, scale: Scale) -> tuple[str, ...]:
    marks = [_mark(results, name) for name in (row.method, row.baseline)]
    tasks = "1 task" if row.num_tasks == 1 else f"{row.num_tasks} tasks"
    return (
        row.method + marks[0],
        row.baseline + marks[1],
        f"all: {tasks}",
        f"{row.num_groups} rows, {row.num_cells} cells",
        *_numbers(row, str(row.num_seeds), scale),
    )


def _mark(results: Results, method: str) -> str:
    """Of a method that saw gold anywhere."""
    return f" {GOLD_MARK}" * any(results.saw_gold(group) for group in results.groups if group[0] == method)


def _numbers(row: Comparison, seeds: str, scale: Scale) -> tuple[str, ...]:
    won = f"{row.wins}, {row.losses}, {row.ties}"
    return (
        scale.lead_with_interval(row.difference),
        won,
        seeds,
        probability(row.p),
        probability(row.p_holm),
        ratio_difference(row.pgr_difference.median),
    )


def _notes(found: Comparisons, scale: Scale) -> list[str]:
    if not found.num_tests:
        return []
    seeds = max(row.num_seeds for row in [*found.pairs, *found.overall])
    tests = "1 comparison" if found.num_tests == 1 else f"{found.num_tests} comparisons"
    notes = [
        (
            f"The student's test {scale.name} minus that of the method it stands against, with the same seeds and on"
            " the same test rows. Interval: bootstrap over seeds and test rows, the same draws for both. Better,"
            " worse, equal: seeds. Last column: the median difference of the gap recovered, where both have one."
        ),
        (
            "p: two-sided sign-flip test over seeds (exact up to 12), which speaks of other seeds on these test rows."
            f" S seeds allow no p below 2 / 2^S: with {seeds}, {probability(min(1.0, 2.0 ** (1 - seeds)))}. The table"
            f" makes {tests}; p (Holm) is adjusted for {'it' if found.num_tests == 1 else 'all of them'} (Holm 1979)."
        ),
    ]
    return [*notes, OVERALL] if found.overall else notes


def _left_out(found: Comparisons) -> list[str]:
    seeds = [
        f"Left out: {row.method}, {row.task}, {row.weak} → {row.strong}, seed {out.seed}. {out.reason}"
        for row in found.pairs
        for out in row.left_out
    ]
    return seeds + [
        f"Not compared: {row.method}, {row.task}, {row.weak} → {row.strong}. {row.reason}" for row in found.skipped
    ]


def in_brief(results: Results) -> list[str]:
    """A line a method, where that is few lines: `Accuracy, logconf − naive: -3.8 points [-5.2, -1.9], better in 0 of 3
    cells.`"""
    if results.comparisons is None:
        return []
    rows: list[PairedRow] | list[OverallRow] = results.comparisons.overall or results.comparisons.pairs
    return [_brief(results, row, scale_of(results)) for row in rows] if len(rows) <= MOST_BRIEF else []


def _brief(results: Results, row: PairedRow | OverallRow, scale: Scale) -> str:
    cells = row.wins + row.losses + row.ties
    difference = scale.lead_with_interval(row.difference, scale.unit)
    return (
        f"{scale.name[0].upper()}{scale.name[1:]}, {row.method}{_mark(results, row.method)} −"
        f" {row.baseline}{_mark(results, row.baseline)}: {difference}, better in {row.wins} of {cells} cells."
    )
