"""A computation over many rows, without gradients. Batches are made of rows of like length and depend on the set of
rows alone.

Shapes: N rows in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.tokens import Int64s, Tokens

Arrays = tuple[npt.NDArray[Any], ...]
Compute = Callable[[Padded], tuple[Tensor, ...]]  # each with a first dimension for the rows; numbers or whole numbers


class OverRows(Protocol):
    """Runs a computation over rows: on one device, or on the processes of a gang, each with its share."""

    alike: bool  # whether all processes must make as many passes, since they share the weights

    def over(self, compute: Compute, tokens: Tokens, *, more: int = 0) -> Arrays:
        """compute(batch) of every row, in the order of the ids. `more`: tokens that a sequence will grow by."""


@dataclass(frozen=True)
class OneDevice:
    """One device, batch after batch."""

    fill: int
    tokens_at_once: int
    device: torch.device
    alike = False

    def over(self, compute: Compute, tokens: Tokens, *, more: int = 0) -> Arrays:
        out: Arrays = ()
        with torch.inference_mode():
            for rows in length_batches(tokens, np.arange(len(tokens)), self.tokens_at_once, more):
                values = [_array(value) for value in compute(Padded.of(tokens, rows, self.fill, self.device))]
                out = out or tuple(np.empty((len(tokens), *value.shape[1:]), dtype=value.dtype) for value in values)
                for whole, value in zip(out, values, strict=True):
                    whole[rows] = value
        return out


def _array(value: Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = (value.float() if value.is_floating_point() else value).cpu().numpy()
    return found


def length_batches(tokens: Tokens, rows: Int64s, max_tokens: int, more: int = 0) -> list[Int64s]:
    """Longest first, so that memory that is too small shows at once."""
    lengths_N = tokens.lengths_N + more * tokens.per_row
    order = rows[np.argsort(-lengths_N[rows], kind="stable")]
    batches, start = [], 0
    while start < len(order):
        count = max(1, max_tokens // int(lengths_N[order[start]]))
        batches.append(order[start : start + count])
        start += count
    return batches
