"""Product confidence: the target is the normalised product of the student's and the teacher's probabilities.

target ∝ p^beta * y^alpha (detached), CE(p, target). Source: openai/weak-to-strong `weak_to_strong/loss.py`
product_loss_fn (whose warm-up argument is never used, so there is none here).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from w2s_ray.blocks.losses.contract import Given, LossFn, cross_entropy, full_precision, merge_teachers, weighted_mean
from w2s_ray.core.frozen import Frozen

if TYPE_CHECKING:
    from torch import Tensor


class Product(Frozen):
    """Cross-entropy with the product of student and teacher."""

    type: Literal["product"] = "product"
    alpha: float = Field(1.0, gt=0, description="exponent of the teacher's probabilities")
    beta: float = Field(
        1.0, ge=0, description="exponent of the student's probabilities; 0 is plain cross-entropy when alpha is 1"
    )

    def build(self, given: Given) -> LossFn:
        return _Product(self.alpha, self.beta)


@dataclass
class _Product:
    alpha: float
    beta: float
    rowwise: bool = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        import torch

        logits_BK = full_precision(logits_BK)
        targets_BK, weights_B = merge_teachers(targets_BMK, weights_B, logits_BK)
        # In logarithms: the product itself underflows to 0/0 when the student is sure of another class than a hard
        # teacher.
        log_target_BK = self.beta * torch.log_softmax(logits_BK.detach(), dim=-1) + self.alpha * targets_BK.log()
        target_BK = torch.where(weights_B[:, None] > 0, log_target_BK, torch.zeros_like(log_target_BK)).softmax(dim=-1)
        return weighted_mean(cross_entropy(logits_BK, target_BK), weights_B)
