"""Means of the members' probabilities: plain, of their logarithms, and with more weight for those that are sure or that
were right before.

`mean`: Sang et al. 2024 (arXiv 2402.00667), bagging's soft labels. `geometric`: the normalised product to the power
1/M, which is the mean of log-odds (Genest & Zidek 1986, doi 10.1214/ss/1177013825, logarithmic pool). Shapes: N rows, M
members, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from w2s_ray.blocks.combiners.contract import SURE, Combiner, Known, Votes, accuracies
from w2s_ray.core.labels import LabelSet


class Mean(Combiner):
    """Mean of the members' probabilities."""

    type: Literal["mean"] = "mean"

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        panel = Votes.of(votes)
        return panel.average(panel.probs_NMK)


class Geometric(Combiner):
    """Mean of the members' log-probabilities, normalised: one that is sure counts more."""

    type: Literal["geometric"] = "geometric"

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        panel = Votes.of(votes)
        logs_NMK = np.log(np.clip(panel.probs_NMK, SURE, 1.0)) * panel.speaks_NM[:, :, None]
        mean_NK = logs_NMK.sum(axis=1) / np.maximum(panel.speaks_NM.sum(axis=1), 1)[:, None]
        return panel.labels(np.exp(mean_NK - mean_NK.max(axis=1, keepdims=True)))


class Confidence(Combiner):
    """Mean of the members' probabilities, each row's weighted by how sure the member is of it: 1 - entropy / log K."""

    type: Literal["confidence"] = "confidence"

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        panel = Votes.of(votes)
        logs_NMK = np.log(np.where(panel.probs_NMK > 0, panel.probs_NMK, 1.0))
        entropy_NM = -(panel.probs_NMK * logs_NMK).sum(axis=2)
        return panel.average(panel.probs_NMK, np.clip(1 - entropy_NM / np.log(panel.num_classes), 0.0, 1.0))


class Weighted(Combiner):
    """Mean of the members' probabilities, weighted by how often each was right on the labelled half's held-out rows."""

    type: Literal["weighted"] = "weighted"
    by: Literal["accuracy", "log_odds"] = "log_odds"
    learns: ClassVar[bool] = True

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        """`log_odds`: ln(a / (1 - a)) + ln(K - 1), optimal for hard votes of independent members (Nitzan & Paroush
        1982, doi 10.2307/2526438), 0 below chance."""
        panel = Votes.of(votes)
        weights_M = accuracies(known, self.type)
        if self.by == "log_odds":
            weights_M = np.maximum(np.log(weights_M / (1 - weights_M)) + np.log(panel.num_classes - 1), 0.0)
        return panel.average(panel.probs_NMK, np.broadcast_to(weights_M, panel.speaks_NM.shape))
