"""A backbone with a linear head on one pooled hidden state.

Shapes: B rows, T tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from w2s_ray.backends.devices import Autocast
from w2s_ray.backends.models import Backbone, load_backbone, quiet
from w2s_ray.backends.tokens import Int64s, Tokens
from w2s_ray.config.recipe import Lora, Recipe
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.seeds import derive_seed, stream

Pooling = Literal["last", "mean"]

HEAD_STD = 0.02  # of `head_init: normal`; the usual initializer_range of transformers


@dataclass(frozen=True)
class Padded:
    """Rows on the device, padded on the right."""

    ids_BT: Tensor
    lengths_B: Tensor
    second_B: Tensor
    full: bool  # no row is shorter than T

    @staticmethod
    def of(tokens: Tokens, rows: Int64s, fill: int, device: torch.device) -> Padded:
        lengths = tokens.lengths_N[rows]
        arrays = (tokens.padded(rows, fill), lengths, tokens.second_N[rows])
        ids_BT, lengths_B, second_B = (_to(array, device) for array in arrays)
        return Padded(ids_BT, lengths_B, second_B, full=bool(lengths.min() == lengths.max()))


def _to(array: Int64s, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Classifier(nn.Module):
    """logits = W pooled(hidden states). The head has no bias and computes in fp32 (openai/weak-to-strong `weak_to_strong/model.py`)."""

    def __init__(self, backbone: Backbone, head: nn.Linear, recipe: Recipe, autocast: Autocast = nullcontext) -> None:
        super().__init__()
        self.backbone = backbone.model
        self.head = head
        self.pooling, self.layer = recipe.pooling, recipe.layer
        self.reads: Tensor | None  # 1 for the hidden dimensions that the head reads, 0 for the others
        self.register_buffer("reads", _read_mask(recipe, head.in_features), persistent=False)
        self.causal, self.positions, self.segments = backbone.causal, backbone.positions, backbone.segments
        self.autocast = autocast
        self.mask = _real

    def forward(self, batch: Padded) -> Tensor:
        pooled_BD = self.pooled(batch, self.layer)
        logits_BK: Tensor = self.head(pooled_BD if self.reads is None else pooled_BD * self.reads)
        return logits_BK

    def pooled(self, batch: Padded, layer: int = -1) -> Tensor:
        """pooled_BD in fp32, of one layer: -1 is the last, 0 the embeddings."""
        with self.autocast():
            hidden_BTD = self._hidden(batch, layer)
        if self.pooling == "last":
            rows_B = torch.arange(len(batch.lengths_B), device=hidden_BTD.device)
            return hidden_BTD[rows_B, batch.lengths_B - 1].float()
        if batch.full:
            return hidden_BTD.float().mean(dim=1)
        real_BT1 = _real(batch)[:, :, None]
        return (hidden_BTD.float() * real_BT1).sum(dim=1) / batch.lengths_B[:, None]

    def _hidden(self, batch: Padded, layer: int) -> Tensor:
        inputs: dict[str, Any] = {"input_ids": batch.ids_BT}
        if not (self.causal or batch.full):
            # A causal model needs no mask for right padding: real tokens come first. Without one, attention keeps its fast causal kernel.
            inputs["attention_mask"] = self.mask(batch)
        if self.segments:
            inputs["token_type_ids"] = (torch.arange(batch.ids_BT.shape[1], device=batch.ids_BT.device) >= batch.second_B[:, None]).long()
        if self.causal:
            inputs["use_cache"] = False
        if layer == -1:
            last: Tensor = self.backbone(**inputs).last_hidden_state
            return last
        states = self.backbone(**inputs, output_hidden_states=True).hidden_states
        if not -len(states) <= layer < len(states):
            raise ConfigError(f"layer is {layer}, but this model has the layers 0 (embeddings) to {len(states) - 1}, or -1 for the last")
        chosen: Tensor = states[layer]
        return chosen


def square_mask(batch: Padded) -> Tensor:
    """The mask [B, 1, T, T] that attention adds. Models take it as it is; of one with two dimensions they ask whether it masks anything, which cannot be vectorised."""
    real_BT = _real(batch)
    lowest = torch.finfo(torch.float32).min
    hidden_B11T = (1.0 - real_BT.float())[:, None, None, :] * lowest
    return hidden_B11T.expand(-1, 1, real_BT.shape[1], -1)


def _real(batch: Padded) -> Tensor:
    return (torch.arange(batch.ids_BT.shape[1], device=batch.ids_BT.device) < batch.lengths_B[:, None]).long()


def build_classifier(
    model_path: str, recipe: Recipe, num_classes: int, autocast: Autocast = nullcontext, *, ask_causal: bool = True, attention: str = "sdpa"
) -> Classifier:
    """The model that a recipe starts from: backbone, adapters, head; all of it a function of the recipe's seed."""
    frozen_in_bf16 = recipe.adapt != "full" and recipe.precision == "bf16"
    backbone = load_backbone(model_path, dtype=torch.bfloat16 if frozen_in_bf16 else torch.float32, attention=attention, ask_causal=ask_causal)
    width = int(backbone.model.config.get_text_config().hidden_size)
    if recipe.adapt == "lora":
        backbone = Backbone(add_lora(backbone.model, recipe.lora, recipe.seed), backbone.causal, backbone.positions, backbone.segments)
    return Classifier(backbone, _head(width, num_classes, recipe), recipe, autocast)


def _read_mask(recipe: Recipe, width: int) -> Tensor | None:
    if recipe.features == 1:
        return None
    mask_D = torch.zeros(width)
    mask_D[torch.from_numpy(recipe.read_features(width))] = 1.0
    return mask_D


def _head(width: int, num_classes: int, recipe: Recipe) -> nn.Linear:
    head = nn.Linear(width, num_classes, bias=False)
    values = np.zeros((num_classes, width)) if recipe.head_init == "zero" else stream(recipe.seed, "head").normal(0, HEAD_STD, (num_classes, width))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(values))
    return head


def add_lora(model: Any, lora: Lora, seed: int) -> Any:
    """Low-rank adapters on all linear layers, in fp32; the rest is frozen."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    transposed = any(isinstance(module, Conv1D) for module in model.modules())
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="all-linear", fan_in_fan_out=transposed)  # type: ignore[arg-type]  # alpha may be a float
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(derive_seed(seed, "lora"))
        return get_peft_model(model, config)


def training_mode(model: nn.Module, recipe: Recipe, *, activation_checkpointing: bool) -> None:
    """Dropout as the recipe says. Layers recompute their activations only when marked as training, so without dropout that mark is all they get."""
    model.train(recipe.dropout or (recipe.adapt == "lora" and recipe.lora.dropout > 0))
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
    enable: Callable[[dict[str, bool]], None] = backbone.gradient_checkpointing_enable if old_name else backbone.activation_checkpointing_enable
    enable({"use_reentrant": False})


def _mute_dropout(model: nn.Module) -> None:
    """Everything to eval mode but the adapters' own dropout."""
    for name, module in model.named_modules():
        if "lora_dropout" not in name:
            module.training = False
