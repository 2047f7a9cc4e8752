"""How good one arm is on the test rows, in the study's metric: a value, the value on drawn rows, and how sure its lead
over another arm is.

The gap, intervals, comparisons and ladders are written in these alone; that a study is in ROC-AUC and not in accuracy
shows nowhere else.

ROC-AUC is P(score of a positive > score of a negative) + half of P(equal) (Hanley & McNeil 1982, doi
10.1148/radiology.143.1.7063747): of class 1 for two classes, else the unweighted mean over classes of one against the
rest. Drawn rows are given as counts: a pair of rows that were drawn a and b times is there a·b times, so that one order
of the scores serves all draws.

Shapes: N test rows, R replicates, K classes, P rows of a class, Q rows of the others, C classes that are held against
the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import Floats
from w2s_ray.core.metrics import Bools, Classes, auroc

Rows = npt.NDArray[np.int64]


class Measure(Protocol):
    """One arm on the test rows, in their order. Arms of the same rows and metric can be held against each other."""

    def __len__(self) -> int:
        """Test rows."""
        ...

    def value(self) -> float:
        """In 0..1; larger is better."""
        ...

    def minus(self, other: Self) -> float:
        """By how much the value is above another's; 0.0 for equal ones, whatever the rounding."""
        ...

    def paired_error(self, other: Self) -> float | None:
        """Standard error of that difference. Paired, because both meet the same easy and hard rows; None where there
        are too few rows to know."""
        ...

    def resampled(self, counts_RN: Floats) -> Floats:
        """value_R where row n stands counts_RN[r, n] times; NaN where these rows have none."""
        ...

    def ordered(self, order_N: Rows) -> Self:
        """The same of the rows in another order."""
        ...

    def shown(self, value: float) -> str:
        """A value in a sentence."""
        ...

    def shown_lead(self, difference: float) -> str:
        """A difference of two in a sentence."""
        ...

    @property
    def too_few(self) -> str:
        """Why there is no paired error, as a sentence."""
        ...


@dataclass(frozen=True, eq=False)
class Accuracy:
    """The share of rows that are right."""

    right_N: Bools

    too_few = "One test row cannot show a gap; give the test set more rows."

    def __len__(self) -> int:
        return len(self.right_N)

    def value(self) -> float:
        return float(self.right_N.mean())

    def minus(self, other: Accuracy) -> float:
        return (int(self.right_N.sum()) - int(other.right_N.sum())) / len(self.right_N)

    def paired_error(self, other: Accuracy) -> float | None:
        """Of the mean over rows of the difference."""
        if len(self.right_N) < 2:
            return None
        difference_N = self.right_N.astype(np.float64) - other.right_N
        return float(difference_N.std(ddof=1) / np.sqrt(len(difference_N)))

    def resampled(self, counts_RN: Floats) -> Floats:
        mean_R: Floats = counts_RN @ self._right_N / counts_RN.sum(axis=1)
        return mean_R

    @cached_property
    def _right_N(self) -> Floats:
        return self.right_N.astype(np.float64)

    def ordered(self, order_N: Rows) -> Accuracy:
        return Accuracy(self.right_N[order_N])

    def shown(self, value: float) -> str:
        return f"{value:.1%}"

    def shown_lead(self, difference: float) -> str:
        return f"{100 * difference:.1f} points"


@dataclass(frozen=True, eq=False)
class RocAuc:
    """How well the probabilities put rows of a class above the others."""

    probs_NK: Floats
    gold_N: Classes

    too_few = (
        "A class with a single test row shows no standard error of ROC-AUC; give the test set more rows of every class."
    )

    def __post_init__(self) -> None:
        found = auroc(self.probs_NK, self.gold_N)
        if found.value is None:
            raise DataError(
                f"metric: auroc is not defined on the test rows: {found.reason}; use metric: accuracy, or more test"
                " rows"
            )

    def __len__(self) -> int:
        return len(self.gold_N)

    def value(self) -> float:
        return self._value

    @cached_property
    def _value(self) -> float:
        found = auroc(self.probs_NK, self.gold_N).value
        assert found is not None, "checked when it was made"
        return found

    def minus(self, other: RocAuc) -> float:
        return self._value - other._value

    def paired_error(self, other: RocAuc) -> float | None:
        """DeLong, DeLong & Clarke-Pearson 1988 (doi 10.2307/2531595): the contrast of two areas on the same rows, their
        components by one sort (Sun & Xu 2014, doi 10.1109/LSP.2014.2337313).

        The variance of a difference of two areas is that of the difference of their components, so no covariance is
        written out. For more classes a row has a component in each area, and they are added by row before they are
        squared: the covariance of the areas is then in it. The bootstrap agrees.
        """
        one_N, other_N = self._influence(), other._influence()
        return None if one_N is None or other_N is None else float(np.sqrt(((one_N - other_N) ** 2).sum()))

    def _influence(self) -> Floats | None:
        """What each row adds to the deviation of the value: the components' deviations, scaled so that their squares
        sum to the variance."""
        contests = _contests(self.probs_NK, self.gold_N)
        if any(min(len(contest.own_P), len(contest.others_Q)) < 2 for contest in contests):
            return None
        influence_N = np.zeros(len(self.gold_N))
        for contest in contests:
            contest.add_components(influence_N)
        return influence_N / len(contests)

    def resampled(self, counts_RN: Floats) -> Floats:
        """For more than two classes the mean is over those of which rows were drawn; NaN where all drawn rows are of
        one class."""
        area_RC = np.stack([contest.areas(counts_RN) for contest in self._contests], axis=1)
        there_RC = ~np.isnan(area_RC)
        number_R = there_RC.sum(axis=1)
        sum_R = np.where(there_RC, area_RC, 0.0).sum(axis=1)
        mean_R: Floats = np.divide(sum_R, number_R, out=np.full(len(counts_RN), np.nan), where=number_R > 0)
        return mean_R

    @cached_property
    def _contests(self) -> list[_Contest]:
        return _contests(self.probs_NK, self.gold_N)

    def ordered(self, order_N: Rows) -> RocAuc:
        return RocAuc(self.probs_NK[order_N], self.gold_N[order_N])

    def shown(self, value: float) -> str:
        return f"ROC-AUC {value:.3f}"

    def shown_lead(self, difference: float) -> str:
        return f"{difference:.3f}"


def _contests(probs_NK: Floats, gold_N: Classes) -> list[_Contest]:
    num_classes = probs_NK.shape[1]
    return [_Contest.of(probs_NK[:, k], gold_N == k) for k in ([1] if num_classes == 2 else range(num_classes))]


@dataclass(frozen=True, eq=False)
class _Contest:
    """The rows of a class against the others, both in the order of their scores. Ranks count the others: those below a
    row's score, and those up to it."""

    own_P: Rows
    others_Q: Rows
    below_P: Rows
    upto_P: Rows

    @staticmethod
    def of(score_N: Floats, own_N: Bools) -> _Contest:
        order = np.argsort(score_N, kind="stable")
        own_P, others_Q = order[own_N[order]], order[~own_N[order]]
        below_P, upto_P = (np.searchsorted(score_N[others_Q], score_N[own_P], side) for side in ("left", "right"))
        return _Contest(own_P, others_Q, below_P, upto_P)

    def add_components(self, influence_N: Floats) -> None:
        """Add each row's share of pairs won, less the mean, over the square root of n (n - 1) of its side."""
        num_own, num_others = len(self.own_P), len(self.others_Q)
        won_P = (self.below_P + self.upto_P) / (2 * num_others)
        # Own rows above a row of the others: those whose `below` counts it, and half of those that only `upto` counts.
        above_Q, from_Q = (
            num_own - np.searchsorted(rank_P, np.arange(num_others), "right") for rank_P in (self.below_P, self.upto_P)
        )
        won_Q = (above_Q + from_Q) / (2 * num_own)
        influence_N[self.own_P] += (won_P - won_P.mean()) / np.sqrt(num_own * (num_own - 1))
        influence_N[self.others_Q] += (won_Q - won_Q.mean()) / np.sqrt(num_others * (num_others - 1))

    def areas(self, counts_RN: Floats) -> Floats:
        """area_R of the drawn rows; NaN where none of one side was drawn. Sums of whole and half numbers, so without
        rounding up to the division."""
        own_RP = np.take(counts_RN, self.own_P, axis=1)
        others_RQ = np.zeros((len(counts_RN), len(self.others_Q) + 1))
        np.cumsum(np.take(counts_RN, self.others_Q, axis=1), axis=1, out=others_RQ[:, 1:])
        won_RP = np.take(others_RQ, self.below_P, axis=1)
        if self._has_ties:
            won_RP = (won_RP + np.take(others_RQ, self.upto_P, axis=1)) / 2
        num_pairs_R = own_RP.sum(axis=1) * others_RQ[:, -1]
        won_R = np.einsum("rp,rp->r", own_RP, won_RP)
        area_R: Floats = np.divide(won_R, num_pairs_R, out=np.full(len(won_R), np.nan), where=num_pairs_R > 0)
        return area_R

    @cached_property
    def _has_ties(self) -> bool:
        return bool((self.below_P != self.upto_P).any())


def _accuracy(hard_N: npt.NDArray[Any], probs_NK: Floats | None, gold_N: npt.NDArray[Any]) -> Measure:
    return Accuracy((hard_N == gold_N).astype(np.bool_))


def _roc_auc(hard_N: npt.NDArray[Any], probs_NK: Floats | None, gold_N: npt.NDArray[Any]) -> Measure:
    if probs_NK is None:
        raise DataError("metric: auroc needs classes with probabilities, and answers are texts; use metric: accuracy")
    return RocAuc(probs_NK, gold_N)


MEASURES: dict[str, Callable[[npt.NDArray[Any], Floats | None, npt.NDArray[Any]], Measure]] = {
    "accuracy": _accuracy,
    "auroc": _roc_auc,
}


def measured(metric: str, hard_N: npt.NDArray[Any], probs_NK: Floats | None, gold_N: npt.NDArray[Any]) -> Measure:
    """An arm in the study's metric, from what it says of each row (a class or a text, -1 or "" where it abstains) and
    the gold."""
    return MEASURES[metric](hard_N, probs_NK, gold_N)
