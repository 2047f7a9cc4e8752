"""The share of the gap between weak teacher and ceiling that a student recovers (PGR), and when there is a gap to speak of.

PGR = (student - floor) / (ceiling - floor) (Burns et al. 2023, § 3), per seed, on the same test rows. A ratio over a gap that may be noise says
nothing and explodes, so the ceiling must exceed the floor by a stated number of standard errors of their paired difference. Shapes: N test rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from w2s_ray.core.errors import DataError
from w2s_ray.core.metrics import Bools

MIN_ERRORS = 2.0


@dataclass(frozen=True)
class Gap:
    """Accuracies of one seed; `pgr` is None unless the status is ok, and then `reason` says why."""

    status: Literal["ok", "no_gap"]
    pgr: float | None
    floor: float
    student: float
    ceiling: float
    standard_error: float | None  # of ceiling - floor, paired by row
    num_test: int
    reason: str = ""


def recovered(floor: float, student: float, ceiling: float) -> float | None:
    """PGR of three accuracies (Burns et al. 2023, § 3); None unless the ceiling is above the floor. Below 0 and above 1 are possible and stay as they are."""
    return (student - floor) / (ceiling - floor) if ceiling > floor else None


def measure_gap(floor_N: Bools, student_N: Bools, ceiling_N: Bools, *, min_errors: float = MIN_ERRORS) -> Gap:
    """Gap recovery of one seed from which test rows each of the three got right."""
    if not len(floor_N) == len(student_N) == len(ceiling_N) or not len(floor_N):
        lengths = f"{len(floor_N)}, {len(student_N)} and {len(ceiling_N)}"
        raise DataError(f"floor, student and ceiling must be scored on the same test rows, at least one; got {lengths}")
    floor, student, ceiling = (float(right.mean()) for right in (floor_N, student_N, ceiling_N))
    error = _paired_error(floor_N, ceiling_N)
    reason = _objection(floor, ceiling, error, len(floor_N), min_errors)
    status: Literal["ok", "no_gap"] = "no_gap" if reason else "ok"
    return Gap(status, None if reason else recovered(floor, student, ceiling), floor, student, ceiling, error, len(floor_N), reason)


def _paired_error(floor_N: Bools, ceiling_N: Bools) -> float | None:
    """Standard error of mean(ceiling - floor) over rows. Paired, because both meet the same easy and hard rows; None for a single row."""
    if len(floor_N) < 2:
        return None
    difference_N = ceiling_N.astype(np.float64) - floor_N
    return float(difference_N.std(ddof=1) / np.sqrt(len(difference_N)))


def _objection(floor: float, ceiling: float, error: float | None, num_test: int, min_errors: float) -> str:
    """Why these rows show no gap, as a sentence; empty when they do."""
    if error is None:
        return "One test row cannot show a gap; give the test set more rows."
    if ceiling <= floor:
        return f"The ceiling ({ceiling:.1%}) is not above the floor ({floor:.1%}) on {num_test} test rows."
    if ceiling - floor <= min_errors * error:
        return (
            f"The ceiling ({ceiling:.1%}) is above the floor ({floor:.1%}) by {100 * (ceiling - floor):.1f} points, "
            f"not more than {min_errors:g} standard errors of {100 * error:.1f} points (paired, {num_test} test rows)."
        )
    return ""
