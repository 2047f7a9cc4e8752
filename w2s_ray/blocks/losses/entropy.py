"""Entropy regularisation: the confidence loss with the student's own soft prediction in place of the hardened one.

target = (1 - c) y + c p (p detached), CE(p, target), c on a linear ramp. Source: EleutherAI/w2s `w2s/loss.py`,
log_confidence_loss with harden=False.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from w2s_ray.blocks.losses.contract import (
    Given,
    LossFn,
    cross_entropy,
    full_precision,
    linear_ramp,
    merge_teachers,
    share_of,
    weighted_mean,
)
from w2s_ray.core.frozen import Frozen

if TYPE_CHECKING:
    from torch import Tensor


class Entropy(Frozen):
    """Cross-entropy with a mixture of the teacher's and the student's own soft labels."""

    type: Literal["entropy"] = "entropy"
    aux: float = Field(0.5, ge=0, le=1, description="the student's share of the target after the warm-up")
    warmup: float = Field(
        0.1,
        ge=0,
        description=(
            "over which the student's share grows from 0: below 1 a share of all steps, from 1 on a number of steps"
        ),
    )

    def build(self, given: Given) -> LossFn:
        return _Entropy(self.aux, share_of(self.warmup, given.steps))


@dataclass
class _Entropy:
    aux: float
    warmup: float
    rowwise: bool = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        logits_BK = full_precision(logits_BK)
        targets_BK, weights_B = merge_teachers(targets_BMK, weights_B, logits_BK)
        share = linear_ramp(self.aux, self.warmup, progress)
        mixed_BK = (1 - share) * targets_BK + share * logits_BK.detach().softmax(dim=-1)
        return weighted_mean(cross_entropy(logits_BK, mixed_BK), weights_B)
