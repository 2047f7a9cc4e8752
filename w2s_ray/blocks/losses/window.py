"""Confidence window: learn only from rows on which the student is still unsure.

CE on rows with max_k p_k < 1/K + radius, summed and divided by the weight of the whole batch. Source: EleutherAI/w2s
`w2s/loss.py` confidence_window_loss, where K = 2; the radius "midweak" is the median of |y - 0.5| over all labels that
the fit learns from, found once (`w2s/sft.py`). With K classes 1/K takes the place of 0.5 and max_k y_k - 1/K that of |y
- 0.5|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.losses.contract import Given, LossFn, cross_entropy, full_precision, merge_teachers, weighted_mean
from w2s_ray.core.frozen import Frozen

if TYPE_CHECKING:
    from torch import Tensor


class Window(Frozen):
    """Cross-entropy on the rows where the student is unsure."""

    type: Literal["window"] = "window"
    radius: Annotated[float, Field(gt=0)] | Literal["midweak"] = Field(
        0.15,
        description=(
            "how far above 1/classes the student's top probability may be, or midweak: the median of the labels'"
        ),
    )

    def build(self, given: Given) -> LossFn:
        chance = 1 / given.num_classes
        return _Window(
            chance
            + (float(np.median(given.labels_NK.max(axis=1))) - chance if self.radius == "midweak" else self.radius)
        )


@dataclass
class _Window:
    sure: float  # a top probability from which on the student learns nothing more
    rowwise: bool = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        logits_BK = full_precision(logits_BK)
        targets_BK, weights_B = merge_teachers(targets_BMK, weights_B, logits_BK)
        unsure_B = logits_BK.detach().softmax(dim=-1).amax(dim=-1) < self.sure
        return weighted_mean(cross_entropy(logits_BK, targets_BK) * unsure_B, weights_B)
