"""The table at the end of `w2s run`: readable on 80 columns, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from w2s_ray.reports.schema import Cell, Results, SummaryRow, parse
from w2s_ray.reports.wording import NOTHING, accuracy, gap_recovered, seeds

if TYPE_CHECKING:
    from rich.table import Table

NAMES = ("method", "task", "weak", "strong")
NUMBERS = ("floor", "student", "ceiling", "gap recovered", "seeds")
Group = tuple[str, str, str, str]


def summary_table(results: Mapping[str, Any]) -> Table:
    """One row a method, task and pair of models. What is the same in all rows stands once, above the table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    checked = parse(results)
    lines = {row.group: _numbers(row, len(checked.cells_of(row))) for row in checked.summary} | {group: _all_failed(cells) for group, cells in _unscored(checked).items()}
    shown = [place for place, name in enumerate(NAMES) if name == "method" or len({group[place] for group in lines}) > 1]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(_title(checked.name, lines, shown)), title_justify="left", caption=Text(_caption(checked)), caption_justify="left")
    for place in shown:
        table.add_column(NAMES[place], overflow="fold")
    for name in NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    for group, numbers in lines.items():
        # Text, not str: names may hold brackets, which rich would read as markup.
        table.add_row(*(Text(group[place]) for place in shown), *map(Text, numbers))
    return table


def _numbers(row: SummaryRow, num_cells: int) -> tuple[str, ...]:
    return (accuracy(row.floor), accuracy(row.student), accuracy(row.ceiling), gap_recovered(row), seeds(row, num_cells))


def _unscored(results: Results) -> dict[Group, list[Cell]]:
    """The groups of which no seed could be scored."""
    scored = {row.group for row in results.summary}
    unscored: dict[Group, list[Cell]] = {}
    for cell in results.cells:
        if cell.group not in scored:
            unscored.setdefault(cell.group, []).append(cell)
    return unscored


def _all_failed(cells: list[Cell]) -> tuple[str, ...]:
    return (NOTHING, NOTHING, NOTHING, "failed", f"0 of {len(cells)}")


def _title(name: str, groups: Iterable[Group], shown: list[int]) -> str:
    """The study's name and what all rows share."""
    first = next(iter(groups), None)
    shared = [f"{NAMES[place]} {first[place]}" for place in range(len(NAMES)) if first and place not in shown]
    return ", ".join([name, *shared])


def _caption(results: Results) -> str:
    left_out = [f"{count} {words}" for status, words in (("no_gap", "without a gap"), ("failed", "failed")) if (count := sum(cell.status == status for cell in results.cells))]
    cells = f"{len(results.cells)} cells" + (f" ({', '.join(left_out)})" if left_out else "")
    return f"Gap recovered: 0 is the weak teacher, 1 the ceiling; median [95 %] over seeds and test rows. {cells}."
