"""Kullback-Leibler divergence between teacher y and student p, in either direction.

Forward, KL(y || p) = CE(y, p) - H(y): the gradient of cross-entropy and a value that is 0 at agreement (Hinton et al.
2015, arXiv 1503.02531). Reverse, KL(p || y): mode-seeking, so the student may drop the teacher's second thoughts (Yao
et al. 2025, "Revisiting Weak-to-Strong Generalization in Theory and Practice: Reverse KL vs. Forward KL", arXiv
2502.11107).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from w2s_ray.blocks.losses.contract import Given, LossFn, full_precision, merge_teachers, weighted_mean
from w2s_ray.core.frozen import Frozen

if TYPE_CHECKING:
    from torch import Tensor


class Kl(Frozen):
    """KL divergence of student and teacher."""

    type: Literal["kl"] = "kl"
    direction: Literal["forward", "reverse"] = "forward"
    floor: float = Field(
        1e-6,
        gt=0,
        lt=0.5,
        description="reverse only: the teacher's probabilities are at least this, else a hard label costs infinity",
    )

    def build(self, given: Given) -> LossFn:
        return _Kl(self.direction == "reverse", self.floor)


@dataclass
class _Kl:
    reverse: bool
    floor: float
    rowwise: bool = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        import torch

        logits_BK = full_precision(logits_BK)
        targets_BK, weights_B = merge_teachers(targets_BMK, weights_B, logits_BK)
        log_p_BK = torch.log_softmax(logits_BK, dim=-1)
        if self.reverse:
            floored_BK = targets_BK.clamp_min(self.floor)
            log_y_BK = (floored_BK / floored_BK.sum(dim=-1, keepdim=True)).log()
            losses_B = (log_p_BK.exp() * (log_p_BK - log_y_BK)).sum(dim=-1)
        else:
            losses_B = (torch.xlogy(targets_BK, targets_BK) - targets_BK * log_p_BK).sum(dim=-1)
        return weighted_mean(losses_B, weights_B)
