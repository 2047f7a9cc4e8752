"""How good predictions are, against gold, joined by id. A metric that is not defined is None with a reason, never NaN.

Every gold row counts: a prediction that abstains is wrong for the accuracy, and the other metrics read the uniform
distribution that a `LabelSet` holds there. Gold rows without a label are left out. Shapes: N rows, K classes, B bins
of confidence, P distinct scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats, LabelSet

Bools = npt.NDArray[np.bool_]
Classes = npt.NDArray[np.int64]

NUM_BINS = 15  # Guo et al. 2017, § 5
SMALLEST = 1e-12  # a confident error costs at most -log(1e-12) = 27.6 nats, so that one row cannot make a mean infinite


@dataclass(frozen=True)
class Metric:
    """A value over n rows, or None with the reason."""

    value: float | None
    n: int
    reason: str = ""


def accuracy(predicted_N: Classes, gold_N: Classes) -> Metric:
    """Share of rows whose predicted class is the gold class."""
    return _over_rows(predicted_N == gold_N)


def log_loss(probs_NK: Floats, gold_N: Classes) -> Metric:
    """Mean of -log p(gold class), in nats."""
    return _over_rows(-np.log(np.clip(probs_NK[np.arange(len(gold_N)), gold_N], SMALLEST, 1.0)))


def ece(probs_NK: Floats, gold_N: Classes, num_bins: int = NUM_BINS) -> Metric:
    """Expected calibration error of the predicted class's confidence: sum_b n_b/n |acc(b) - conf(b)| over equal-width
    bins (Guo et al. 2017, eq. 3)."""
    if not len(gold_N):
        return _no_rows()
    _, confidence_B, right_B = reliability(probs_NK, gold_N, num_bins)
    return Metric(float(np.abs(right_B - confidence_B).sum() / len(gold_N)), len(gold_N))


def reliability(probs_NK: Floats, gold_N: Classes, num_bins: int = NUM_BINS) -> tuple[Floats, Floats, Floats]:
    """Of each bin of the predicted class's confidence: rows, the sum of their confidences, and how many are right (Guo
    et al. 2017, eqs. 1 and 2)."""
    confidence_N = probs_NK.max(axis=1)
    right_N = probs_NK.argmax(axis=1) == gold_N
    # Bin b is (b/num_bins, (b+1)/num_bins], as in the paper.
    bin_N = np.clip(np.ceil(confidence_N * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    rows_B, confidence_B, right_B = (
        np.bincount(bin_N, weights=each, minlength=num_bins).astype(np.float64)
        for each in (np.ones_like(confidence_N), confidence_N, right_N)
    )
    return rows_B, confidence_B, right_B


def auroc(probs_NK: Floats, gold_N: Classes) -> Metric:
    """Area under the ROC curve: of class 1 for two classes, else the unweighted mean over classes of one against the
    rest."""
    if not len(gold_N):
        return _no_rows()
    num_classes = probs_NK.shape[1]
    absent = sorted(set(range(num_classes)) - set(np.unique(gold_N).tolist()))
    if absent:
        return Metric(
            None,
            len(gold_N),
            f"AUROC needs gold rows of every class; none of the {len(gold_N)} rows has class"
            f" {', '.join(map(str, absent))}",
        )
    scored = [1] if num_classes == 2 else range(num_classes)
    return Metric(float(np.mean([_area(probs_NK[:, k], gold_N == k) for k in scored])), len(gold_N))


def _area(score_N: Floats, positive_N: Bools) -> float:
    """P(score of a positive > score of a negative) + half of P(equal) (Hanley & McNeil 1982): the Mann-Whitney U over
    the number of pairs."""
    _, place_N, count_P = np.unique(score_N, return_inverse=True, return_counts=True)
    rank_P = np.cumsum(count_P) - (count_P - 1) / 2
    positives = int(positive_N.sum())
    u = rank_P[place_N][positive_N].sum() - positives * (positives + 1) / 2
    return float(u / (positives * (len(score_N) - positives)))


def _over_rows(values_N: npt.NDArray[Any]) -> Metric:
    return Metric(float(values_N.mean()), len(values_N)) if len(values_N) else _no_rows()


def _no_rows() -> Metric:
    return Metric(None, 0, "there are no gold rows to score")


def scored_ids(gold: LabelSet | Answers) -> Ids:
    """The ids that every metric is computed on: the gold rows that have a label, in gold's order."""
    return gold.ids[gold.mask_N]


def correctness(predicted: LabelSet | Answers, gold: LabelSet | Answers) -> Bools:
    """Which of `scored_ids(gold)` are predicted right, in that order; an id without a prediction is an error."""
    predicted, gold = _join(predicted, gold)
    right_N: Bools = (predicted.hard_N == gold.hard_N).astype(np.bool_)
    return right_N


def score(predicted: LabelSet | Answers, gold: LabelSet | Answers) -> dict[str, Any]:
    """All metrics of `predicted` on gold's rows. `reasons` explains each None. Predictions for rows without gold are
    ignored. The accuracy of answers is exact match."""
    predicted, gold = _join(predicted, gold)
    if isinstance(predicted, Answers) or isinstance(gold, Answers):
        return _score_answers(predicted, gold)
    probs_NK, hard_N, gold_N = predicted.probs_NK, predicted.hard_N, gold.hard_N
    metrics = {
        "accuracy": accuracy(hard_N, gold_N),
        "auroc": auroc(probs_NK, gold_N),
        "log_loss": log_loss(probs_NK, gold_N),
        "ece": ece(probs_NK, gold_N),
        "positive_rate": _positive_rate(hard_N, gold.num_classes),
        "gold_positive_rate": _positive_rate(gold_N, gold.num_classes),
    }
    values: dict[str, Any] = {name: metric.value for name, metric in metrics.items()}
    reasons = {name: metric.reason for name, metric in metrics.items() if metric.value is None}
    return {**values, "n": len(gold_N), "abstained": int((hard_N < 0).sum()), "reasons": reasons}


def _score_answers(predicted: LabelSet | Answers, gold: LabelSet | Answers) -> dict[str, Any]:
    right_N = (predicted.hard_N == gold.hard_N).astype(np.bool_)
    exact = _over_rows(right_N)
    undefined = ("auroc", "log_loss", "ece", "positive_rate", "gold_positive_rate")
    reasons = dict.fromkeys(undefined, "answers are texts, which have no classes") | (
        {} if len(gold) else {"accuracy": exact.reason}
    )
    values: dict[str, Any] = {"accuracy": exact.value, **dict.fromkeys(undefined)}
    return {**values, "n": len(gold), "abstained": int((~predicted.mask_N).sum()), "reasons": reasons}


def _positive_rate(classes_N: Classes, num_classes: int) -> Metric:
    """Share of rows in class 1."""
    if num_classes != 2:
        return Metric(None, len(classes_N), f"a positive rate is of two classes; there are {num_classes}")
    return _over_rows(classes_N == 1)


def agreement(
    student: LabelSet | Answers, weak: LabelSet | Answers, gold: LabelSet | Answers
) -> dict[str, Mapping[str, Any]]:
    """How often the student agrees with the weak teacher, on all rows and on those where the teacher is right or wrong
    (Burns et al. 2023, § 5.1.2).

    A student that imitates agrees on both; one that outgrows its teacher agrees less where the teacher is wrong. Rows
    on which the teacher abstains are left out; a student that abstains does not agree.
    """
    answered = weak.align(scored_ids(gold))
    spoken = answered.ids[answered.mask_N]
    student_N, weak_N, gold_N = (labels.align(spoken).hard_N for labels in (student, weak, gold))
    right_N = (weak_N == gold_N).astype(np.bool_)
    rows = {"all": np.ones_like(right_N), "weak_right": right_N, "weak_wrong": ~right_N}
    return {name: _share((student_N == weak_N).astype(np.bool_)[chosen_N], name) for name, chosen_N in rows.items()}


def _share(values_N: Bools, rows: str) -> dict[str, Any]:
    if not len(values_N):
        return {"agreement": None, "n": 0, "reason": f"there are no rows of kind {rows!r}"}
    return {"agreement": float(values_N.mean()), "n": len(values_N)}


def _join(predicted: LabelSet | Answers, gold: LabelSet | Answers) -> tuple[LabelSet | Answers, LabelSet | Answers]:
    if isinstance(predicted, Answers) != isinstance(gold, Answers):
        raise DataError("one of predictions and gold is texts and the other one classes; both must be of the same task")
    if isinstance(predicted, LabelSet) and isinstance(gold, LabelSet) and predicted.num_classes != gold.num_classes:
        raise DataError(
            f"predictions have {predicted.num_classes} classes and gold has {gold.num_classes}; both must be of the"
            " same task"
        )
    ids = scored_ids(gold)
    return predicted.align(ids), gold.align(ids)
