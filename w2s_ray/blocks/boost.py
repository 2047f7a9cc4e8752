"""The arithmetic of boosting: what a member's vote counts, and what the next member must learn.

AdaBoost for several classes is SAMME (Zhu et al. 2009, doi 10.4310/SII.2009.v2.n3.a8, algorithm 2); with two classes it
is Freund & Schapire's. Gradient boosting fits the residual y - p (Friedman 2001, doi 10.1214/aos/1013203451, algorithms
5 and 6). Shapes: N rows, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from w2s_ray.core.labels import Floats, LabelSet

CLIP = 1e-3  # a member without an error would have an infinite vote, one no better than chance a negative one


def weighted_error(predicted: LabelSet, truth: LabelSet, weight_N: Floats | None = None) -> float:
    """Share of the weight of `truth`'s rows on which another class is named."""
    weight_N = np.where(truth.mask_N, truth.weight_N if weight_N is None else weight_N, 0.0)
    wrong_N = predicted.align(truth.ids).hard_N != truth.hard_N
    return float((weight_N * wrong_N).sum() / weight_N.sum())


def strength(error: float, num_classes: int) -> float:
    """ln((1 - e) / e) + ln(K - 1), with e kept from 0 and from chance, 1 - 1/K."""
    error = min(max(error, CLIP), 1 - 1 / num_classes - CLIP)
    return math.log((1 - error) / error) + math.log(num_classes - 1)


def next_weights(weight_N: Floats, wrong_N: npt.NDArray[np.bool_], vote: float) -> Floats:
    """Rows that were got wrong count exp(vote) times as much; the mean is 1 again."""
    raised_N = weight_N * np.exp(vote * wrong_N)
    normalised_N: Floats = raised_N / raised_N.mean()
    return normalised_N


def residual_labels(truth: LabelSet, now: LabelSet) -> LabelSet:
    """The residual r = y - p as labels q = (1 + r) / K. The best prediction of q under cross-entropy is its mean, so a
    model that learns q tells K q - 1, the mean residual."""
    now = now.align(truth.ids)
    return LabelSet.of(
        truth.ids, (1 + truth.probs_NK - now.probs_NK) / truth.num_classes, mask_N=truth.mask_N, weight_N=truth.weight_N
    )
