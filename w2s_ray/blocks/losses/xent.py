"""Cross-entropy with the teacher's soft labels: naive weak-to-strong finetuning.

Source: Burns et al. 2023 (arXiv 2312.09390) § 3; openai/weak-to-strong `weak_to_strong/loss.py` xent_loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from w2s_ray.blocks.losses.contract import Given, LossFn, cross_entropy, full_precision, merge_teachers, weighted_mean
from w2s_ray.core.frozen import Frozen

if TYPE_CHECKING:
    from torch import Tensor


class Xent(Frozen):
    """Cross-entropy of the student with the teacher's soft labels."""

    type: Literal["xent"] = "xent"

    def build(self, given: Given) -> LossFn:
        return _Xent()


@dataclass
class _Xent:
    rowwise: bool = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        logits_BK = full_precision(logits_BK)
        targets_BK, weights_B = merge_teachers(targets_BMK, weights_B, logits_BK)
        return weighted_mean(cross_entropy(logits_BK, targets_BK), weights_B)
