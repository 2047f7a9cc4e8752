"""A decoder with its language-model head: how likely words are, and which come next.

Shapes: Q sequences, T tokens, V words of the vocabulary, L tokens of an answer, N rows.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.devices.device import Autocast


class LanguageModel(nn.Module):
    """Wraps a `transformers` model with its head."""

    def __init__(self, whole: Any, autocast: Autocast = nullcontext) -> None:
        super().__init__()
        self.backbone = whole
        self.autocast = autocast

    def mean_surprise(self, batch: Padded) -> Tensor:
        """Mean -log p over each sequence's tokens but the first, [Q, 1]."""
        surprise_QT, real_QT = self._surprise(batch)
        mean_Q: Tensor = (surprise_QT * real_QT).sum(dim=1) / real_QT.sum(dim=1).clamp_min(1)
        return mean_Q[:, None]

    def next_logits(
        self, ids_QT: Tensor, mask_QT: Tensor | None, positions_QT: Tensor, cache: Any
    ) -> tuple[Tensor, Any]:
        """logits_QV of what follows the last of these tokens, and the cache with them; None begins one."""
        given = {} if mask_QT is None else {"attention_mask": mask_QT}
        with self.autocast():
            out = self.backbone(
                input_ids=ids_QT,
                position_ids=positions_QT,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **given,
            )
        return out.logits[:, -1].float(), out.past_key_values

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

    def tail(self, batch: Padded) -> tuple[Tensor, Tensor]:
        """log p of each sequence's tokens from `second_Q` on, and how many they are."""
        T = batch.ids_QT.shape[1]
        surprise_QT, real_QT = self._surprise(batch, T - int(batch.second_Q.min()))
        counted_QT = real_QT & (
            torch.arange(T - surprise_QT.shape[1], T, device=real_QT.device) >= batch.second_Q[:, None]
        )
        return -(surprise_QT * counted_QT).sum(dim=1), counted_QT.sum(dim=1)
