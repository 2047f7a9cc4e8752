"""What a loss is, and the arithmetic that all losses share.

Shapes: B rows of a batch, M teachers, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from w2s_ray.core.errors import ConfigError
from w2s_ray.core.labels import Floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Given:
    """What is known of a fit before its first step, from which a loss is built."""

    num_teachers: int
    steps: int
    labels_NK: Floats  # of the rows that are learned from, the mean over the teachers that speak

    @property
    def num_classes(self) -> int:
        return int(self.labels_NK.shape[1])

    @staticmethod
    def of_classes(num_classes: int) -> Given:
        """What any fit on rows of so many classes may be, for a loss that refuses them."""
        return Given(1, 1, np.full((1, num_classes), 1 / num_classes))


class LossFn(Protocol):
    """The weighted mean of the rows' losses. A teacher that abstains on a row holds NaN there.

    `rowwise` says that the loss of a row depends on that row alone, so that micro-batches may be summed; a loss that
    looks at the whole batch (a quantile, a median) is given all its rows at once. `progress` is the share of the
    training that is done, from 0 to 1. A loss with a memory of its own is `Stateful`; one with parameters is a torch
    module.
    """

    rowwise: bool

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor: ...


@runtime_checkable
class Stateful(Protocol):
    """A memory that goes into the checkpoint. Every torch module has this form."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


def full_precision(logits: Tensor) -> Tensor:
    """float32 at least: a softmax in bfloat16 has three significant digits."""
    import torch

    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def merge_teachers(targets_BMK: Tensor, weights_B: Tensor, like_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the teachers that speak. A row on which all abstain counts nothing."""
    import torch

    targets_BMK = targets_BMK.to(like_BK)
    speaks_BM1 = ~torch.isnan(targets_BMK).any(dim=-1, keepdim=True)
    count_B1 = speaks_BM1.sum(dim=1)
    targets_BK = torch.where(speaks_BM1, targets_BMK, torch.zeros_like(targets_BMK)).sum(dim=1) / count_B1.clamp_min(1)
    return targets_BK, weights_B.to(like_BK) * (count_B1[:, 0] > 0)


def weighted_mean(losses_B: Tensor, weights_B: Tensor) -> Tensor:
    """sum(w l) / sum(w); 0 where no row counts."""
    import torch

    return (losses_B * weights_B).sum() / weights_B.sum().clamp_min(torch.finfo(weights_B.dtype).tiny)


def cross_entropy(logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """-sum_k y_k log p_k of each row."""
    import torch

    return -(targets_BK * torch.log_softmax(logits_BK, dim=-1)).sum(dim=-1)


def linear_ramp(top: float, warmup: float, progress: float) -> float:
    """From 0 to `top` over the first `warmup` share of the training (EleutherAI/w2s `w2s/loss.py`: aux * min(1, step /
    warmup steps))."""
    return top * min(1.0, progress / warmup) if warmup > 0 else top


def share_of(warmup: float, steps: int) -> float:
    """A warm-up as a share of the training: below 1 it is one, from 1 on a number of steps."""
    return warmup if warmup < 1 else warmup / steps


def require_binary(num_classes: int, key: str, value: object, instead: str) -> None:
    """Refuse more than two classes where the formula ranks rows by one probability."""
    if num_classes != 2:
        raise ConfigError(f"{key}: {value} is defined for 2 classes, this task has {num_classes}; {instead}")
