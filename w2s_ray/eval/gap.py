"""The share of the gap between weak teacher and ceiling that a student recovers (PGR), and when there is a gap to speak
of.

PGR = (student - floor) / (ceiling - floor) (Burns et al. 2023, § 3), per seed, on the same test rows. A ratio over a
gap that may be noise says nothing and explodes, so the ceiling must exceed the floor by a stated number of standard
errors of their paired difference. Where the weak labels came without a teacher that could be asked about the test rows
there is no floor, and no ratio either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from w2s_ray.core.errors import DataError
from w2s_ray.eval.measure import Measure

MIN_ERRORS = 2.0
NO_FLOOR = "The weak labels have none of the test rows, so there is no floor."

Status = Literal["ok", "no_gap", "no_floor"]


@dataclass(frozen=True)
class Gap:
    """Values of one seed in the study's metric; `pgr` is None unless the status is ok, and then `reason` says why."""

    status: Status
    pgr: float | None
    floor: float | None  # None where the status is no_floor
    student: float
    ceiling: float
    standard_error: float | None  # of ceiling - floor, paired by row
    num_test: int
    reason: str = ""


def recovered(floor: float, student: float, ceiling: float) -> float | None:
    """PGR of three values (Burns et al. 2023, § 3); None unless the ceiling is above the floor. Below 0 and above 1 are
    possible and stay as they are."""
    return (student - floor) / (ceiling - floor) if ceiling > floor else None


def measure_gap(floor: Measure | None, student: Measure, ceiling: Measure, *, min_errors: float = MIN_ERRORS) -> Gap:
    """Gap recovery of one seed from its three arms on the same test rows."""
    lengths = [len(arm) for arm in (floor, student, ceiling) if arm is not None]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise DataError(
            "floor, student and ceiling must be scored on the same test rows, at least one; got"
            f" {', '.join(map(str, lengths))}"
        )
    if floor is None:
        return Gap("no_floor", None, None, student.value(), ceiling.value(), None, lengths[0], NO_FLOOR)
    error = ceiling.paired_error(floor)
    reason = _objection(floor, ceiling, error, min_errors)
    status: Status = "no_gap" if reason else "ok"
    values = (floor.value(), student.value(), ceiling.value())
    return Gap(status, None if reason else recovered(*values), *values, error, lengths[0], reason)


def _objection(floor: Measure, ceiling: Measure, error: float | None, min_errors: float) -> str:
    """Why these rows show no gap, as a sentence; empty when they do."""
    if error is None:
        return ceiling.too_few
    below, above = floor.value(), ceiling.value()
    if above <= below:
        return (
            f"The ceiling ({ceiling.shown(above)}) is not above the floor ({floor.shown(below)}) on {len(floor)} test"
            " rows."
        )
    if above - below <= min_errors * error:
        return (
            f"The ceiling ({ceiling.shown(above)}) is above the floor ({floor.shown(below)}) by"
            f" {ceiling.shown_lead(above - below)}, not more than {min_errors:g} standard errors of"
            f" {ceiling.shown_lead(error)} (paired, {len(floor)} test rows)."
        )
    return ""
