"""A causal language model that answers: it scores given candidates (`choice`), or generates the answer (`generation`).

Shapes: B rows, Q sequences (of a choice one a candidate, of a generation one a teacher in training, else one), T
tokens, C candidates, M teachers, L tokens of an answer.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.devices.device import Autocast
from w2s_ray.backends.models.adapters import add_lora
from w2s_ray.backends.models.classifier import chosen_layer
from w2s_ray.backends.models.language_model import LanguageModel
from w2s_ray.backends.models.load import is_causal, load_causal, positions_of
from w2s_ray.config.recipe import Layer, Recipe
from w2s_ray.core.errors import ConfigError, ModelError
from w2s_ray.core.kinds import Kind


class Answerer(LanguageModel):
    """values = log p of each sequence's answer given its prompt: for a choice the logits of its candidates, whose
    softmax tells how likely each is among them.

    For a generation, and where a recipe says so (`per_token`), their mean over an answer's tokens, so that a long
    answer weighs what a short one does.
    """

    head = None  # no head beside the language model's own

    def __init__(
        self, whole: Any, recipe: Recipe, autocast: Autocast, *, kind: Kind, per_row: int, positions: int | None
    ) -> None:
        super().__init__(whole, autocast)
        self.kind, self.per_row, self.positions = kind, per_row, positions
        self.per_token = kind.generated or recipe.per_token
        self.causal, self.segments = True, False

    def forward(self, batch: Padded) -> Tensor:
        log_p_Q, count_Q = self.tail(batch)
        values_Q = log_p_Q / count_Q.clamp_min(1) if self.per_token else log_p_Q
        values: Tensor = values_Q.view(-1, self.per_row)
        return values

    def ask_causal(self) -> None:
        """Check that the model is causal; for sharded weights, which cannot be checked while they are loaded."""
        inner = getattr(self.backbone, "get_base_model", lambda: self.backbone)()
        if not is_causal(inner.base_model):
            raise ModelError(
                f"a {inner.config.model_type} reads both ways, so it has no next word; name a causal language model"
            )

    def predicted(self, batch: Padded) -> Tensor:
        """The candidates' probabilities."""
        return self(batch).softmax(dim=-1)  # type: ignore[no-any-return]  # torch's __call__ is untyped

    def features(self, batch: Padded, layer: Layer = -1) -> Tensor:
        """The last token's hidden state."""
        if self.kind.placed:
            raise ConfigError(
                "features of a choice are asked for, whose candidates are read apart, so a row has no vector of its"
                " own; use format: choices"
            )
        with self.autocast():
            states = self.backbone(
                input_ids=batch.ids_QT, use_cache=False, output_hidden_states=True, logits_to_keep=1
            ).hidden_states
        rows_Q = torch.arange(len(batch.lengths_Q), device=batch.ids_QT.device)
        return chosen_layer(states, layer)[rows_Q, batch.lengths_Q - 1].float()


class AnswerSurprise:
    """Cross-entropy of a generation: mean surprise over an answer's tokens, over the teachers that do not abstain, over
    rows by weight (Sutskever et al. 2014, arXiv 1409.3215, § 3.2, where a row weighs as its tokens do)."""

    rowwise = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        speaks_BM = ~torch.isnan(targets_BMK[:, :, 0])
        surprise_B = -(logits_BK * speaks_BM).sum(dim=1) / speaks_BM.sum(dim=1).clamp_min(1)
        return (surprise_B * weights_B).sum() / weights_B.sum().clamp_min(torch.finfo(weights_B.dtype).tiny)


def build_answerer(
    model_path: str,
    recipe: Recipe,
    kind: Kind,
    per_row: int,
    autocast: Autocast = nullcontext,
    *,
    ask_causal: bool = True,
) -> Answerer:
    """The language model that a recipe starts from, with its adapters."""
    frozen_in_bf16 = recipe.way.frozen and recipe.precision == "bf16"
    whole = load_causal(model_path, dtype=torch.bfloat16 if frozen_in_bf16 else torch.float32, ask_causal=ask_causal)
    positions = positions_of(whole)
    if recipe.way.adapters:
        whole = add_lora(whole, recipe.lora, recipe.seed)
    return Answerer(whole, recipe, autocast, kind=kind, per_row=per_row, positions=positions)
