"""Which baseline each method of a study is compared with: on the same task and models, and at the same point of the
grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from w2s_ray.config.schema import Cell


class Pairing(NamedTuple):
    """A row of the results and the method that it is compared with, by their names in tables; where there is none,
    `reason` says why."""

    method: str
    task: str
    weak: str
    strong: str
    baseline: str | None
    reason: str = ""


def baseline_of(cells: Sequence[Cell], asked: str | None = None) -> str:
    """The method that the study names; else `naive`, if it is plain naive finetuning with cross-entropy; else the
    study's first method."""
    if asked is not None:
        return asked
    naive = [cell for cell in cells if cell.method.label == "naive"]
    return "naive" if naive and all(map(_is_plain, naive)) else str(cells[0].method.label)


def _is_plain(cell: Cell) -> bool:
    loss = cell.method.loss or cell.config.recipe("strong").loss
    return cell.method.type == "naive" and getattr(loss, "type", "") == "xent"


def pairings(cells: Sequence[Cell], asked: str | None = None) -> list[Pairing]:
    """One for each row of another method than the baseline, in the study's order; also for rows of which every cell
    fails."""
    baseline = baseline_of(cells, asked)
    suffixes: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for cell in cells:
        if cell.method.label == baseline:
            suffixes[_setting(cell)].add(cell.suffix)
    rows = {(cell.method_label, *_setting(cell)): cell for cell in cells if cell.method.label != baseline}
    return [Pairing(*row, *_partner(baseline, cell.suffix, suffixes[_setting(cell)])) for row, cell in rows.items()]


def _setting(cell: Cell) -> tuple[str, str, str]:
    return (cell.task_label, cell.config.models.weak, cell.config.models.strong)


def _partner(baseline: str, suffix: str, there: set[str]) -> tuple[str | None, str]:
    """Of several rows of the baseline, the one at the same point of the grid. A single one serves all, as when the grid
    is over `methods` itself."""
    if suffix in there or len(there) == 1:
        return baseline + (suffix if suffix in there else next(iter(there))), ""
    why = (
        f"stands there {len(there)} times, never at the same point of the grid"
        if there
        else "has no cell on this task with these models"
    )
    return None, f"The baseline {baseline} {why}."
