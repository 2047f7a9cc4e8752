"""From scored cells to the rows of the final table: one row a (method, task, weak, strong), over seeds, with intervals.

Accuracies are over all scored seeds. PGR is over the seeds that have a gap; the others are listed under `excluded` with the reason, so that a
reader sees how many seeds a number rests on. Seeds that failed have no score and are not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats
from w2s_ray.core.metrics import Bools
from w2s_ray.eval.gap import MIN_ERRORS, Gap, measure_gap
from w2s_ray.eval.intervals import REPLICATES, mean_interval, pgr_intervals, resample

ARMS = ("floor", "student", "ceiling")
Group = tuple[str, str, str, str]


@dataclass(frozen=True, eq=False)
class CellScore:
    """One method, task, pair of models and seed: which test rows its floor, student and ceiling got right. Shapes: N test rows."""

    method: str
    task: str
    weak: str
    strong: str
    seed: int
    ids: Ids
    floor_N: Bools
    student_N: Bools
    ceiling_N: Bools
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = {arm: getattr(self, f"{arm}_N").shape for arm in ARMS}
        if not len(self.ids) or set(shapes.values()) != {(len(self.ids),)}:
            raise DataError(f"cell {self.where}: floor, student and ceiling need one entry for each of the {len(self.ids)} test ids; got {shapes}")

    @property
    def group(self) -> Group:
        return (self.method, self.task, self.weak, self.strong)

    @property
    def where(self) -> str:
        """For messages: which cell this is."""
        return f"{self.method} on {self.task}, {self.weak} -> {self.strong}, seed {self.seed}"


def summarise(cells: Sequence[CellScore], *, min_errors: float = MIN_ERRORS, replicates: int = REPLICATES, seed: int = 0) -> list[dict[str, Any]]:
    """One row a group, in the order in which the groups first appear; a row does not depend on the order of its cells."""
    groups: dict[Group, list[CellScore]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return [_summary_row(sorted(group, key=lambda cell: cell.seed), min_errors, replicates, seed) for group in groups.values()]


def _summary_row(cells: list[CellScore], min_errors: float, replicates: int, seed: int) -> dict[str, Any]:
    _refuse_twins(cells)
    gaps = [_gap(cell, min_errors) for cell in cells]
    pgrs = [gap.pgr for gap in gaps if gap.pgr is not None]
    valid = [cell for cell, gap in zip(cells, gaps, strict=True) if gap.pgr is not None]
    accuracy_RSA = _resample(cells, replicates, seed)
    valid_RSA = accuracy_RSA if len(valid) == len(cells) else _resample(valid, replicates, seed) if valid else None
    return {
        **_names(cells[0].group),
        "num_seeds": len(cells),
        "pgr": _pgr(pgrs, valid_RSA),
        **{arm: _mean([getattr(gap, arm) for gap in gaps], accuracy_RSA[:, :, a]) for a, arm in enumerate(ARMS)},
        "num_test": min(gap.num_test for gap in gaps),
        "excluded": [{"seed": cell.seed, "reason": gap.reason} for cell, gap in zip(cells, gaps, strict=True) if gap.status != "ok"],
    }


def _pgr(pgrs: list[float], accuracy_RSA: Floats | None) -> dict[str, Any]:
    """`low` and `high` are of the median. All None when no seed has a gap."""
    if accuracy_RSA is None:
        return dict.fromkeys(("median", "mean", "low", "high", "mean_low", "mean_high", "undefined"))
    median, mean, undefined = pgr_intervals(accuracy_RSA)
    return {
        "median": float(np.median(pgrs)),
        "mean": float(np.mean(pgrs)),
        "low": median.low if median else None,
        "high": median.high if median else None,
        "mean_low": mean.low if mean else None,
        "mean_high": mean.high if mean else None,
        "undefined": undefined,
    }


def _mean(values: list[float], accuracy_RS: Floats) -> dict[str, float]:
    low, high = mean_interval(accuracy_RS)
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def _resample(cells: list[CellScore], replicates: int, seed: int) -> Floats:
    correct = [np.stack([getattr(cell, f"{arm}_N") for arm in ARMS], axis=1) for cell in cells]
    return resample([cell.ids for cell in cells], correct, replicates=replicates, seed=seed)


def _gap(cell: CellScore, min_errors: float) -> Gap:
    return measure_gap(cell.floor_N, cell.student_N, cell.ceiling_N, min_errors=min_errors)


def _names(group: Group) -> dict[str, str]:
    return dict(zip(("method", "task", "weak", "strong"), group, strict=True))


def _refuse_twins(cells: list[CellScore]) -> None:
    """A seed counted twice would make the interval too narrow."""
    for one, other in pairwise(cells):
        if one.seed == other.seed:
            raise DataError(f"cell {one.where} stands twice; give the two methods different names (`name:`) or drop one")
