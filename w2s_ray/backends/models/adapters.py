"""Low-rank adapters: put on a model, written, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from w2s_ray.backends.models.load import quiet
from w2s_ray.config.recipe import Lora
from w2s_ray.core.errors import ModelError
from w2s_ray.core.seeds import derive_seed


def add_lora(model: Any, lora: Lora, seed: int) -> Any:
    """Low-rank adapters on all linear layers, in fp32; the rest is frozen."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    transposed = any(isinstance(module, Conv1D) for module in model.modules())
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # may be a float
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        fan_in_fan_out=transposed,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(derive_seed(seed, "lora"))
        return get_peft_model(model, config)


def save_adapter(model: Any, folder: Path, tensors: dict[str, torch.Tensor] | None = None) -> None:
    """peft's files; `tensors` where the model itself holds but parts of them."""
    model.peft_config["default"].base_model_name_or_path = ""  # a place, which differs from host to host
    given = {} if tensors is None else {"state_dict": tensors}
    with quiet():
        model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False, **given)
    (folder / "README.md").unlink(missing_ok=True)  # a model card that names such places too


def load_adapter(model: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    outcome: Any = set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
    if outcome.unexpected_keys:
        raise ModelError(
            f"{folder} holds adapters for layers that the base model does not have, such as"
            f" {outcome.unexpected_keys[0]}; give the base model it was trained on"
        )
