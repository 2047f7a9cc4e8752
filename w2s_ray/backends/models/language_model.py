"""A decoder with its language-model head: how likely words are, and which come next.

Shapes: Q sequences, T tokens, V words of the vocabulary, L tokens of an answer, N rows.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.devices.device import Autocast


class LanguageModel(nn.Module):
    """Rows in, the mean surprise (nats a token) of each row's tokens out; the first token is given."""

    def __init__(self, whole: Any, autocast: Autocast = nullcontext) -> None:
        super().__init__()
        self.backbone = whole
        self.autocast = autocast

    def forward(self, batch: Padded) -> Tensor:
        surprise_QT, real_QT = self._surprise(batch)
        mean_Q: Tensor = (surprise_QT * real_QT).sum(dim=1) / real_QT.sum(dim=1).clamp_min(1)
        return mean_Q[:, None]

    def logits(self, ids_QT: Tensor, last: int = 0) -> Tensor:
        """logits_QTV in fp32; with `last`, of so many last positions alone."""
        with self.autocast():
            logits_QTV: Tensor = self.backbone(input_ids=ids_QT, use_cache=False, logits_to_keep=last).logits
        return logits_QTV.float()

    def _surprise(self, batch: Padded, last: int = 0) -> tuple[Tensor, Tensor]:
        """-log p of each token but the first (of the `last` ones), and which of them are no padding."""
        T = batch.ids_QT.shape[1]
        asked = min(last, T - 1) if last else T - 1
        next_QT = batch.ids_QT[:, T - asked :]
        logits_QTV = self.logits(batch.ids_QT[:, :-1], asked)  # the last token predicts nothing
        surprise_QT = nn.functional.cross_entropy(logits_QTV.flatten(0, 1), next_QT.flatten(), reduction="none").view(
            next_QT.shape
        )
        real_QT = torch.arange(T - asked, T, device=next_QT.device) < batch.lengths_Q[:, None]
        return surprise_QT, real_QT

    def tail(self, batch: Padded) -> Tensor:
        """log p of each sequence's tokens from `second_Q` on, and how many they are."""
        T = batch.ids_QT.shape[1]
        surprise_QT, real_QT = self._surprise(batch, T - int(batch.second_Q.min()))
        counted_QT = real_QT & (
            torch.arange(T - surprise_QT.shape[1], T, device=real_QT.device) >= batch.second_Q[:, None]
        )
        return torch.stack([-(surprise_QT * counted_QT).sum(dim=1), counted_QT.sum(dim=1)])

    def greedy(self, batch: Padded, most: int, end: int, *, together: bool = False) -> Tensor:
        """The likeliest next token, again and again, until `end` or so many tokens: the tokens [Q, most], with `end`
        after the end, and the whole's log p.

        Processes that share the weights generate `together`: each makes as many passes as any.
        """
        ids_QT, lengths_Q = batch.ids_QT, batch.lengths_Q
        rows_Q = torch.arange(len(lengths_Q), device=ids_QT.device)
        out_QL = torch.full((len(lengths_Q), most), end, device=ids_QT.device)
        log_p_Q, done_Q = (
            torch.zeros(len(lengths_Q), device=ids_QT.device),
            torch.zeros_like(lengths_Q, dtype=torch.bool),
        )
        for place in range(most):
            asked = ids_QT.shape[1] - int(lengths_Q.min()) + 1
            logits_QTV = self.logits(ids_QT, asked)
            log_p_QV = logits_QTV[rows_Q, lengths_Q - 1 - (ids_QT.shape[1] - logits_QTV.shape[1])].log_softmax(dim=-1)
            best_Q, token_Q = log_p_QV.max(dim=1)
            log_p_Q = log_p_Q + torch.where(done_Q, 0.0, best_Q)
            out_QL[:, place] = torch.where(done_Q, end, token_Q)
            done_Q = done_Q | (token_Q == end)
            if done_Q.all() and not together:
                break
            ids_QT = torch.cat([ids_QT, ids_QT.new_zeros(len(ids_QT), 1)], dim=1)
            ids_QT[rows_Q, lengths_Q] = torch.where(done_Q, end, token_Q)
            lengths_Q = lengths_Q + 1
        return torch.cat([out_QL.double(), log_p_Q[:, None].double()], dim=1)


def texts_of(said_NL: npt.NDArray[np.floating], tokenizer: Any) -> list[str]:
    """What `greedy` generated, as text."""
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in said_NL[:, :-1].astype(int).tolist()]
