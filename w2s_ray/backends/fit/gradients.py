"""The gradient of one step's loss, whatever the micro-batches: the fixed global batch decides what is learned, memory
decides how it is cut.

Shapes: B rows of a batch, M teachers, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.devices.gang import ALONE, Gang
from w2s_ray.blocks.losses.contract import LossFn

Forward = Callable[[Padded], Tensor]
Backward = Callable[[Tensor], None]


@dataclass(frozen=True)
class Micro:
    """Rows that go through the model at once, with what the teachers say of them."""

    inputs: Padded
    targets_BMK: Tensor
    weights_B: Tensor
    share: float  # of the step's whole weight


def step_loss(
    forward: Forward, micros: Sequence[Micro], loss_fn: LossFn, progress: float, backward: Backward, gang: Gang = ALONE
) -> Tensor:
    """Add the gradient of the step's loss to the parameters and return the loss, detached. `backward` takes a scalar.

    In a gang each process has its own micro-batches, all as many, and `backward` averages gradients over it.
    """
    if loss_fn.rowwise or (len(micros) == 1 and gang.size == 1):
        total = _summed(forward, micros, loss_fn, progress, lambda loss: backward(loss * gang.size))
        return gang.sum(total)
    return _in_two_passes(forward, micros, loss_fn, progress, backward, gang)


def _summed(forward: Forward, micros: Sequence[Micro], loss_fn: LossFn, progress: float, backward: Backward) -> Tensor:
    """sum(w l) / sum(w) over the batch is the sum over micro-batches of their weighted means, each times its share of
    the weight."""
    total: Tensor | None = None
    for micro in micros:
        loss = loss_fn(forward(micro.inputs), micro.targets_BMK, micro.weights_B, progress) * micro.share
        backward(loss)
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None
    return total


def _in_two_passes(
    forward: Forward, micros: Sequence[Micro], loss_fn: LossFn, progress: float, backward: Backward, gang: Gang
) -> Tensor:
    """A loss that looks at the whole batch: logits first, then its gradient in them, then the model's (GradCache, Gao
    et al. 2021, arXiv 2101.06983)."""
    states, outputs = [], []
    with torch.no_grad():
        for micro in micros:
            states.append(_rng(micro))
            outputs.append(forward(micro.inputs))
    gradient_BK, loss = _in_logits(torch.cat(outputs), micros, loss_fn, progress, gang)
    for micro, state, part_BK in zip(
        micros, states, gradient_BK.split([len(m.weights_B) for m in micros]), strict=True
    ):
        _set_rng(micro, state)  # the same dropout as in the first pass
        backward((forward(micro.inputs) * part_BK).sum())
    return loss


def _in_logits(
    mine_BK: Tensor, micros: Sequence[Micro], loss_fn: LossFn, progress: float, gang: Gang
) -> tuple[Tensor, Tensor]:
    """The gradient of the whole batch's loss in this process's logits (times the gang's size, for gradients are
    averaged over it), and the loss."""
    targets_BMK, weights_B = torch.cat([m.targets_BMK for m in micros]), torch.cat([m.weights_B for m in micros])
    counted_B = weights_B > 0  # a row without weight fills a gap in a gang's schedule
    whole_BK, places = gang.gather(mine_BK[counted_B])
    whole_BK.requires_grad_()
    loss = loss_fn(whole_BK, gang.gather(targets_BMK[counted_B])[0], gang.gather(weights_B[counted_B])[0], progress)
    loss.backward()
    assert whole_BK.grad is not None
    gradient_BK = torch.zeros_like(mine_BK)
    gradient_BK[counted_B] = whole_BK.grad[places] * gang.size
    return gradient_BK, loss.detach()


def _rng(micro: Micro) -> Tensor:
    device = micro.weights_B.device
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_rng(micro: Micro, state: Tensor) -> None:
    device = micro.weights_B.device
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
