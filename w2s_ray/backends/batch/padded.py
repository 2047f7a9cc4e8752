"""`Padded`: a batch of token sequences on the device.

Shapes: Q sequences, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from w2s_ray.backends.batch.tokens import Int64s, Tokens


@dataclass(frozen=True)
class Padded:
    """Sequences on the device, padded on the right."""

    ids_QT: Tensor
    lengths_Q: Tensor
    second_Q: Tensor
    full: bool  # no row is shorter than T

    @staticmethod
    def of(tokens: Tokens, rows: Int64s, fill: int, device: torch.device) -> Padded:
        sequences = tokens.sequences(rows)
        lengths = tokens.lengths_Q[sequences]
        arrays = (tokens.padded(sequences, fill), lengths, tokens.second_Q[sequences])
        ids_QT, lengths_Q, second_Q = (_to(array, device) for array in arrays)
        return Padded(ids_QT, lengths_Q, second_Q, full=bool(lengths.min() == lengths.max()))


def _to(array: Int64s, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
