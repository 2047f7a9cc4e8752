"""A backbone with a linear head on one pooled hidden state: the classes of a row, or what each of two texts is worth.

A preference is the model of Bradley & Terry (1952, doi 10.2307/2334029): P(first is better) = sigmoid(r(first) -
r(second)), where r is a head of one output on each text. So the logits of a row are its two worths, their softmax is
that probability, and cross-entropy is the loss of reward modelling (Ouyang et al. 2022, arXiv 2203.02155, eq. 1), with
soft labels where the preference is soft.

Shapes: B rows, Q sequences (one a row, of a preference two), T tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.devices.device import Autocast
from w2s_ray.backends.models.adapters import add_lora
from w2s_ray.backends.models.load import Backbone, is_causal, load_backbone
from w2s_ray.blocks.linear import Probe
from w2s_ray.config.recipe import Layer, Recipe
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.core.seeds import stream

HEAD_STD = {
    "zero": 0.0,
    "small": 2e-4,
    "normal": 0.02,
}  # 0.02 is the usual initializer_range of transformers; EleutherAI/w2s scales it by 0.01 (`w2s/sft.py`)


class Classifier(nn.Module):
    """logits = W pooled(hidden states). The head has no bias, unless it began as a probe, and computes in fp32
    (openai/weak-to-strong `weak_to_strong/model.py`)."""

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Linear,
        recipe: Recipe,
        autocast: Autocast = nullcontext,
        *,
        kind: Kind = TEXT,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.backbone = backbone.model
        self.head = head
        self.pooling, self.layer = recipe.pooling, recipe.layer
        self.reads: Tensor | None  # 1 for the hidden dimensions that the head reads, 0 for the others
        self.register_buffer("reads", _read_mask(recipe, head.in_features), persistent=False)
        self.causal, self.positions, self.segments = backbone.causal, backbone.positions, backbone.segments
        self.autocast = autocast
        self.mask = _real

    def forward(self, batch: Padded) -> Tensor:
        pooled_QD = self.pooled(batch, self.layer)
        values_QK: Tensor = self.head(pooled_QD if self.reads is None else pooled_QD * self.reads)
        return values_QK.view(-1, 2) if self.kind.signed else values_QK

    def ask_causal(self) -> None:
        """Find out whether padding needs a mask; for sharded weights, once they can be used."""
        self.causal = is_causal(self.backbone)

    def predicted(self, batch: Padded) -> Tensor:
        """Class probabilities."""
        return self(batch).softmax(dim=-1)  # type: ignore[no-any-return]  # torch's __call__ is untyped

    def features(self, batch: Padded, layer: Layer = -1) -> Tensor:
        """One vector a row; for a preference the second text's minus the first one's, so that a linear model of it is
        Bradley and Terry's."""
        pooled_QD = self.pooled(batch, layer)
        return pooled_QD[1::2] - pooled_QD[::2] if self.kind.signed else pooled_QD

    def pooled(self, batch: Padded, layer: Layer = -1) -> Tensor:
        """pooled_QD in fp32, of one layer: -1 is the last, 0 the embeddings."""
        with self.autocast():
            hidden_QTD = self._hidden(batch, layer)
        if self.pooling == "last":
            rows_Q = torch.arange(len(batch.lengths_Q), device=hidden_QTD.device)
            return hidden_QTD[rows_Q, batch.lengths_Q - 1].float()
        if batch.full:
            return hidden_QTD.float().mean(dim=1)
        real_QT1 = _real(batch)[:, :, None]
        return (hidden_QTD.float() * real_QT1).sum(dim=1) / batch.lengths_Q[:, None]

    def _hidden(self, batch: Padded, layer: Layer) -> Tensor:
        inputs: dict[str, Any] = {"input_ids": batch.ids_QT}
        if not (self.causal or batch.full):
            # A causal model needs no mask for right padding: real tokens come first. Without one, attention keeps its
            # fast causal kernel.
            inputs["attention_mask"] = self.mask(batch)
        if self.segments:
            inputs["token_type_ids"] = (
                torch.arange(batch.ids_QT.shape[1], device=batch.ids_QT.device) >= batch.second_Q[:, None]
            ).long()
        if self.causal:
            inputs["use_cache"] = False
        if layer == -1:
            last: Tensor = self.backbone(**inputs).last_hidden_state
            return last
        states = self.backbone(**inputs, output_hidden_states=True).hidden_states
        return chosen_layer(states, layer)


def chosen_layer(states: Sequence[Tensor], layer: Layer) -> Tensor:
    """Of the embeddings and each layer's output; the middle one is layer L // 2 of L (EleutherAI/w2s,
    `w2s/probe.py`)."""
    place = (len(states) - 1) // 2 if layer == "middle" else layer
    if not -len(states) <= place < len(states):
        raise ConfigError(
            f"layer is {layer}, but this model has the layers 0 (embeddings) to {len(states) - 1}, or -1 for the last"
        )
    return states[place]


def square_mask(batch: Padded) -> Tensor:
    """The mask [Q, 1, T, T] that attention adds. Models take it as it is; of one with two dimensions they ask whether
    it masks anything, which cannot be vectorised."""
    real_QT = _real(batch)
    lowest = torch.finfo(torch.float32).min
    hidden_Q11T = (1.0 - real_QT.float())[:, None, None, :] * lowest
    return hidden_Q11T.expand(-1, 1, real_QT.shape[1], -1)


def _real(batch: Padded) -> Tensor:
    return (torch.arange(batch.ids_QT.shape[1], device=batch.ids_QT.device) < batch.lengths_Q[:, None]).long()


def build_classifier(
    model_path: str,
    recipe: Recipe,
    num_classes: int,
    autocast: Autocast = nullcontext,
    *,
    kind: Kind = TEXT,
    head: Probe | None = None,
    ask_causal: bool = True,
    attention: str = "sdpa",
) -> Classifier:
    """The model that a recipe starts from: backbone, adapters, head; all of it a function of the recipe's seed. The
    head may start as a probe (Kumar et al. 2022, arXiv 2202.10054)."""
    frozen_in_bf16 = recipe.way.frozen and recipe.precision == "bf16"
    backbone = load_backbone(
        model_path,
        dtype=torch.bfloat16 if frozen_in_bf16 else torch.float32,
        attention=attention,
        ask_causal=ask_causal,
    )
    width = int(backbone.model.config.get_text_config().hidden_size)
    if recipe.way.adapters:
        backbone = Backbone(
            add_lora(backbone.model, recipe.lora, recipe.seed), backbone.causal, backbone.positions, backbone.segments
        )
    outputs = 1 if kind.signed else num_classes
    if head is not None:
        _check_head(head, num_classes, width)
    return Classifier(
        backbone,
        _head(width, outputs, recipe) if head is None else _head_of(head, outputs),
        recipe,
        autocast,
        kind=kind,
    )


def _read_mask(recipe: Recipe, width: int) -> Tensor | None:
    if recipe.features == 1:
        return None
    mask_D = torch.zeros(width)
    mask_D[torch.from_numpy(recipe.read_features(width))] = 1.0
    return mask_D


def _head(width: int, num_classes: int, recipe: Recipe) -> nn.Linear:
    head = nn.Linear(width, num_classes, bias=False)
    values = stream(recipe.seed, "head").normal(0, 1, (num_classes, width)) * HEAD_STD[recipe.head_init]
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(values))
    return head


def _check_head(probe: Probe, num_classes: int, width: int) -> None:
    features, columns = probe.weight_DC.shape
    classes = max(2, columns)  # one column tells two apart
    if (classes, features) != (num_classes, width):
        raise ConfigError(
            f"head: the probe that the head is to start as tells {classes} classes apart on {features} features, and"
            f" the fit tells {num_classes} apart on {width}; give a probe of the same model on rows with the same"
            " classes"
        )


def _head_of(probe: Probe, outputs: int) -> nn.Linear:
    """The probe as a layer on unscaled features. For two classes a probe has the log-odds of the second alone; the head
    of a preference has no bias, which cancels between two texts."""
    weight_DC = probe.weight_DC / probe.scale_D[:, None]
    bias_C = probe.bias_C - probe.mean_D @ weight_DC
    if outputs > weight_DC.shape[1]:
        weight_DC, bias_C = (
            np.concatenate([np.zeros_like(weight_DC), weight_DC], axis=1),
            np.concatenate([np.zeros(1), bias_C]),
        )
    head = nn.Linear(len(weight_DC), outputs, bias=outputs > 1)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight_DC.T))
        if outputs > 1:
            head.bias.copy_(torch.from_numpy(bias_C))
    return head


def load_head(head: nn.Linear, tensors: dict[str, Tensor]) -> None:
    """Load the weight, and the bias of a head that started as a probe."""
    with torch.no_grad():
        head.weight.copy_(tensors["weight"])
        if "bias" in tensors:
            head.bias = nn.Parameter(tensors["bias"].to(head.weight))


def training_mode(model: nn.Module, recipe: Recipe, *, activation_checkpointing: bool) -> None:
    """Dropout as the recipe says. Layers recompute their activations only when marked as training, so without dropout
    that mark is all they get."""
    model.train(recipe.dropout or (recipe.way.adapters and recipe.lora.dropout > 0))
    if not recipe.dropout:
        _mute_dropout(model)
    if activation_checkpointing:
        from transformers.modeling_layers import GradientCheckpointingLayer

        _recompute(model.backbone)
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True


def _recompute(backbone: Any) -> None:
    old_name = not hasattr(backbone, "activation_checkpointing_enable")  # transformers renamed it within version 5
    enable: Callable[[dict[str, bool]], None] = (
        backbone.gradient_checkpointing_enable if old_name else backbone.activation_checkpointing_enable
    )
    enable({"use_reentrant": False})


def _mute_dropout(model: nn.Module) -> None:
    """Everything to eval mode but the adapters' own dropout."""
    for name, module in model.named_modules():
        if "lora_dropout" not in name:
            module.training = False
