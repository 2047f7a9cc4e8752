"""A model over many rows, without gradients. Batches are made of rows of like length and depend on the set of rows
alone.

Shapes: N rows in the order of their ids, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.tokens import Int64s, Tokens

Floats32 = npt.NDArray[np.float32]


def over_rows(
    compute: Callable[[Padded], Tensor], tokens: Tokens, fill: int, max_tokens: int, device: torch.device
) -> Floats32:
    """compute(batch) of every row, in the order of the ids."""
    out: Floats32 | None = None
    with torch.inference_mode():
        for rows in length_batches(tokens.lengths_N, np.arange(len(tokens)), max_tokens):
            values = compute(Padded.of(tokens, rows, fill, device)).float().cpu().numpy()
            if out is None:
                out = np.empty((len(tokens), values.shape[1]), dtype=np.float32)
            out[rows] = values
    return np.empty((0, 0), dtype=np.float32) if out is None else out


def length_batches(lengths_N: Int64s, rows: Int64s, max_tokens: int) -> list[Int64s]:
    """Longest first, so that memory that is too small shows at once."""
    order = rows[np.argsort(-lengths_N[rows], kind="stable")]
    batches, start = [], 0
    while start < len(order):
        count = max(1, max_tokens // int(lengths_N[order[start]]))
        batches.append(order[start : start + count])
        start += count
    return batches
