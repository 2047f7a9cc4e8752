"""From scored cells to the rows of the final table: one row a (method, task, weak, strong), over seeds, with intervals.

Values (accuracies, or what the study's metric is) are over all scored seeds. PGR is over the seeds that have a gap; the
others are listed under `excluded` with the reason, so that a reader sees how many seeds a number rests on. Seeds that
failed have no score and are not known here.
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
from w2s_ray.eval.gap import MIN_ERRORS, Gap, measure_gap
from w2s_ray.eval.intervals import REPLICATES, mean_interval, pgr_intervals, resample
from w2s_ray.eval.measure import Measure

ARMS = ("floor", "student", "ceiling")
Group = tuple[str, str, str, str]


@dataclass(frozen=True, eq=False)
class CellScore:
    """One method, task, pair of models and seed: its floor (where there is one), student and ceiling on the test rows,
    in the study's metric."""

    method: str
    task: str
    weak: str
    strong: str
    seed: int
    ids: Ids
    floor: Measure | None
    student: Measure
    ceiling: Measure
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = {name: len(arm) for name, arm in zip(ARMS, self.arms, strict=True) if arm is not None}
        if not len(self.ids) or set(rows.values()) != {len(self.ids)}:
            raise DataError(
                f"cell {self.where}: floor, student and ceiling need one entry for each of the {len(self.ids)} test"
                f" ids; got {rows}"
            )

    @property
    def arms(self) -> tuple[Measure | None, Measure, Measure]:
        """In the order of `ARMS`."""
        return (self.floor, self.student, self.ceiling)

    @property
    def group(self) -> Group:
        return (self.method, self.task, self.weak, self.strong)

    @property
    def where(self) -> str:
        """For messages: which cell this is."""
        return f"{self.method} on {self.task}, {self.weak} -> {self.strong}, seed {self.seed}"


def summarise(
    cells: Sequence[CellScore], *, min_errors: float = MIN_ERRORS, replicates: int = REPLICATES, seed: int = 0
) -> list[dict[str, Any]]:
    """One row a group, in the order in which the groups first appear; a row does not depend on the order of its
    cells."""
    groups: dict[Group, list[CellScore]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return [
        _summary_row(sorted(group, key=lambda cell: cell.seed), min_errors, replicates, seed)
        for group in groups.values()
    ]


def _summary_row(cells: list[CellScore], min_errors: float, replicates: int, seed: int) -> dict[str, Any]:
    _refuse_twins(cells)
    gaps = [_gap(cell, min_errors) for cell in cells]
    pgrs = [gap.pgr for gap in gaps if gap.pgr is not None]
    valid = [cell for cell, gap in zip(cells, gaps, strict=True) if gap.pgr is not None]
    value_RSA = _resample(cells, replicates, seed)
    valid_RSA = value_RSA if len(valid) == len(cells) else _resample(valid, replicates, seed) if valid else None
    return {
        **_names(cells[0].group),
        "num_seeds": len(cells),
        "pgr": _pgr(pgrs, valid_RSA),
        **{arm: _mean([getattr(gap, arm) for gap in gaps], value_RSA[:, :, a]) for a, arm in enumerate(ARMS)},
        "num_test": min(gap.num_test for gap in gaps),
        "excluded": [
            {"seed": cell.seed, "reason": gap.reason}
            for cell, gap in zip(cells, gaps, strict=True)
            if gap.status != "ok"
        ],
    }


def _pgr(pgrs: list[float], value_RSA: Floats | None) -> dict[str, Any]:
    """`low` and `high` are of the median. All None when no seed has a gap."""
    if value_RSA is None:
        return dict.fromkeys(("median", "mean", "low", "high", "mean_low", "mean_high", "undefined"))
    median, mean, undefined = pgr_intervals(value_RSA)
    return {
        "median": float(np.median(pgrs)),
        "mean": float(np.mean(pgrs)),
        "low": median.low if median else None,
        "high": median.high if median else None,
        "mean_low": mean.low if mean else None,
        "mean_high": mean.high if mean else None,
        "undefined": undefined,
    }


def _mean(values: list[float | None], value_RS: Floats) -> dict[str, float] | None:
    """Over the seeds that have the arm; None where none has."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = mean_interval(value_RS)
    return {"mean": float(np.mean(known)), "low": low, "high": high}


def _resample(cells: list[CellScore], replicates: int, seed: int) -> Floats:
    return resample([cell.ids for cell in cells], [cell.arms for cell in cells], replicates=replicates, seed=seed)


def _gap(cell: CellScore, min_errors: float) -> Gap:
    return measure_gap(*cell.arms, min_errors=min_errors)


def _names(group: Group) -> dict[str, str]:
    return dict(zip(("method", "task", "weak", "strong"), group, strict=True))


def _refuse_twins(cells: list[CellScore]) -> None:
    """A seed counted twice would make the interval too narrow."""
    for one, other in pairwise(cells):
        if one.seed == other.seed:
            raise DataError(
                f"cell {one.where} stands twice; give the two methods different names (`name:`) or drop one"
            )
