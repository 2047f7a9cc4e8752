"""Majority of the members' hard votes, with a stated rule for ties. Shapes: N rows, M members, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.combiners.contract import Combiner, Known, Votes
from w2s_ray.core.labels import LabelSet


class Majority(Combiner):
    """The class that most members name."""

    type: Literal["majority"] = "majority"
    ties: Literal["mean", "abstain", "lowest"] = Field(
        "mean",
        description=(
            "equal numbers of votes: the class of the higher mean probability among the tied, no label at all, or the"
            " class that is named first"
        ),
    )

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        panel = Votes.of(votes)
        count_NK = panel.hard_NMK.sum(axis=1)
        top_NK = count_NK == count_NK.max(axis=1, keepdims=True)
        preference_NK = np.where(top_NK, panel.probs_NMK.sum(axis=1) if self.ties == "mean" else 1.0, -1.0)
        chosen_N = preference_NK.argmax(axis=1)
        labelled_N = panel.speaks_NM.any(axis=1)
        if self.ties == "abstain":
            labelled_N &= top_NK.sum(axis=1) == 1
        return LabelSet.hard(panel.ids, np.where(labelled_N, chosen_N, -1), panel.num_classes)
