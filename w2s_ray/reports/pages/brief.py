"""The table at the end of `w2s run`: readable on 80 columns, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from w2s_ray.reports.document import Paragraph, Section, Table
from w2s_ray.reports.pages.comparisons import in_brief
from w2s_ray.reports.schema import Group, Results, SummaryRow
from w2s_ray.reports.wording import GOLD_MARK, NOTHING, SAW_GOLD, SELECTED, Scale, gap_recovered, scale_of, seeds

SETTING = ("task", "weak", "strong")
NUMBERS = ("floor", "student", "ceiling", "gap recovered", "seeds")


def brief_section(results: Results) -> Section:
    """A row a method under a heading for each setting (task and models), which stands alone in its row. What all
    settings share stands in the title."""
    rows = _rows(results)
    varying = [place for place in range(len(SETTING)) if len({group[1:][place] for group in rows}) > 1]
    shown: list[tuple[str, ...]] = []
    for setting in dict.fromkeys(group[1:] for group in rows):
        shown += [(_heading(setting, varying),)] if varying else []
        for group, numbers in rows.items():
            if group[1:] == setting:
                mark = f" {GOLD_MARK}" * results.saw_gold(group)
                shown.append(("  " * bool(varying) + group[0] + mark, *numbers))
    table = Table(("method", *NUMBERS), tuple(shown), 1)
    return Section(_title(results.name, rows, varying), (table, *map(Paragraph, _caption(results))))


def _rows(results: Results) -> dict[Group, tuple[str, ...]]:
    """The numbers of every group, also of those of which no seed could be scored."""
    rows = {row.group: _numbers(row, len(results.cells_of(row)), scale_of(results)) for row in results.summary}
    unscored = {group: cells for group, cells in results.groups.items() if group not in rows}
    return rows | {
        group: (NOTHING, NOTHING, NOTHING, "failed", f"0 of {len(cells)}") for group, cells in unscored.items()
    }


def _numbers(row: SummaryRow, num_cells: int, scale: Scale) -> tuple[str, ...]:
    return (
        scale.mean(row.floor),
        scale.mean(row.student),
        scale.mean(row.ceiling),
        gap_recovered(row),
        seeds(row, num_cells),
    )


def _heading(setting: tuple[str, ...], varying: list[int]) -> str:
    """What sets this setting apart: `topic`, `weak world/nano`, `world/nano → world/small`, or the task and the
    models."""
    task, weak, strong = setting
    both = {1, 2} <= set(varying)
    models = (
        f"{weak} → {strong}" if both else f"weak {weak}" if 1 in varying else f"strong {strong}" if 2 in varying else ""
    )
    return ", ".join(part for part in (task if 0 in varying else "", models) if part)


def _title(name: str, groups: Iterable[Group], varying: list[int]) -> str:
    """The study's name and what all settings share."""
    setting = next((group[1:] for group in groups), ())
    return ", ".join(
        [name, *(f"{SETTING[place]} {value}" for place, value in enumerate(setting) if place not in varying)]
    )


def _caption(results: Results) -> list[str]:
    words_of = {
        "no_gap": "without a gap",
        "no_floor": "without a floor",
        "no_ceiling": "without a ceiling",
        "failed": "failed",
    }
    counts = {words: sum(cell.status == status for cell in results.cells) for status, words in words_of.items()}
    left_out = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    cells = f"{len(results.cells)} cells" + (f" ({left_out})" if left_out else "")
    ceiling = f" (trained on gold of the {results.ceiling_rows} rows)" if results.ceiling_rows else ""
    other_metric = "" if results.metric == "accuracy" else f" All is in {scale_of(results).name}."
    tuned = f" The recipe was tuned, {SELECTED[results.tuned.select_on]}." if results.tuned else ""
    over = "median [95 %] over seeds and test rows"
    if results.imported is not None:
        over = f"median over seeds, without intervals, imported from {results.imported.source}"
    told = f"Gap recovered: 0 is the weak teacher, 1 the ceiling{ceiling}; {over}. {cells}.{other_metric}{tuned}"
    marked = [f"{GOLD_MARK} {SAW_GOLD}"] if any(map(results.saw_gold, results.groups)) else []
    return [told, *in_brief(results), *marked]
