"""Greedy generation with a cache of keys and values: each token is read once.

Prompts are padded on the left, so that all next tokens stand in one column, and positions count real tokens alone.

Shapes: Q sequences, T tokens of a prompt, L tokens of an answer, V words of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.models.language_model import LanguageModel


@dataclass
class _Asked:
    """The sequences that are not finished, with their cache of keys and values."""

    rows_Q: Tensor  # their places in the batch
    mask_QT: Tensor | None  # None where no prompt is shorter than another
    next_Q: Tensor  # the position of the next token
    cache: Any = None

    def pick(self, chosen: Tensor) -> None:
        """Keep these sequences alone."""
        self.rows_Q, self.next_Q = self.rows_Q[chosen], self.next_Q[chosen]
        self.mask_QT = None if self.mask_QT is None else self.mask_QT[chosen]
        self.cache.batch_select_indices(chosen)


def greedy(model: LanguageModel, batch: Padded, most: int, end: int, *, alike: bool = False) -> tuple[Tensor, ...]:
    """The likeliest next token until `end` or `most` of them: tokens [Q, most], with `end` after the end; how many were
    generated [Q], the end included; log p of them all [Q].

    Processes that share the weights make `alike` many passes; else sequences that are finished are left out.
    """
    ids_QT, asked = _left_padded(batch)
    count = len(ids_QT)
    out_QL = torch.full((count, most), end, device=ids_QT.device)
    said_Q, log_p_Q = torch.zeros_like(batch.lengths_Q), torch.zeros(count, device=ids_QT.device, dtype=torch.float64)
    done_Q = torch.zeros(count, dtype=torch.bool, device=ids_QT.device)
    places_T = torch.arange(ids_QT.shape[1], device=ids_QT.device)
    positions_QT = (asked.next_Q[:, None] - len(places_T) + places_T).clamp_min(0)
    for place in range(most):
        logits_QV, asked.cache = model.next_logits(ids_QT, asked.mask_QT, positions_QT, asked.cache)
        best_Q, token_Q = logits_QV.log_softmax(dim=-1).max(dim=1)
        going_Q = ~done_Q[asked.rows_Q]
        log_p_Q[asked.rows_Q] += torch.where(going_Q, best_Q.double(), 0.0)
        said_Q[asked.rows_Q] += going_Q.long()
        out_QL[asked.rows_Q, place] = torch.where(going_Q, token_Q, end)
        done_Q[asked.rows_Q] |= token_Q == end
        left_Q = ~done_Q[asked.rows_Q]
        if not alike and not left_Q.any():
            break
        if not alike and int(left_Q.sum()) <= len(left_Q) // 2:
            asked.pick(left_Q.nonzero()[:, 0])
            token_Q = token_Q[left_Q]
        ids_QT, positions_QT = token_Q[:, None], asked.next_Q[:, None]
        asked.next_Q = asked.next_Q + 1
        if asked.mask_QT is not None:
            asked.mask_QT = torch.cat([asked.mask_QT, asked.mask_QT.new_ones(len(token_Q), 1)], dim=1)
    return out_QL, said_Q, log_p_Q


def _left_padded(batch: Padded) -> tuple[Tensor, _Asked]:
    Q, T = batch.ids_QT.shape
    rows_Q = torch.arange(Q, device=batch.ids_QT.device)
    if batch.full:
        return batch.ids_QT, _Asked(rows_Q, None, batch.lengths_Q)
    from_QT = torch.arange(T, device=batch.ids_QT.device) - (T - batch.lengths_Q)[:, None]
    ids_QT = batch.ids_QT.gather(1, from_QT.clamp_min(0))
    return ids_QT, _Asked(rows_Q, (from_QT >= 0).long(), batch.lengths_Q)
