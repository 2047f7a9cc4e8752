"""How the members of a boosted ensemble vote. They are made one after another, so what each counts is known when they
are combined.

Shapes: N rows, M members, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.combiners.contract import Combiner, Known, Votes
from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import LabelSet


class Fixed(Combiner):
    """Mean of the members' probabilities or hard votes with weights that are given, as AdaBoost's are."""

    type: Literal["fixed"] = "fixed"
    weights: tuple[float, ...] = Field(
        min_length=1, description="of the members in their order; of fewer members, the first ones"
    )
    hard: bool = Field(False, description="members name a class (SAMME) instead of giving probabilities (Sang et al.)")

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        if len(votes) > len(self.weights):
            raise DataError(f"combine: fixed has {len(self.weights)} weights for {len(votes)} members; give one each")
        panel = Votes.of(votes)
        weights_NM = np.broadcast_to(np.array(self.weights[: len(votes)]), panel.speaks_NM.shape)
        return panel.average(panel.hard_NMK if self.hard else panel.probs_NMK, weights_NM)


class Additive(Combiner):
    """Members' estimates of a residual, summed to log-odds as gradient boosting's are.

    softmax(2 rate sum_m (K q_m - 1)): Friedman 2001, doi 10.1214/aos/1013203451.
    """

    type: Literal["additive"] = "additive"
    rate: float = Field(1.0, gt=0)

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        panel = Votes.of(votes)
        residual_NMK = (panel.num_classes * panel.probs_NMK - 1) * panel.speaks_NM[:, :, None]
        scores_NK = 2 * self.rate * residual_NMK.sum(axis=1)
        return panel.labels(np.exp(scores_NK - scores_NK.max(axis=1, keepdims=True)))
