"""Pretrained backbones and tokenizers, from a local Hugging Face folder or a pinned hub revision. safetensors alone, no
remote code.

A backbone is any `AutoModel`, decoder or encoder, without its language-model head.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from w2s_ray.backends.devices.memory import Shape
from w2s_ray.core.errors import ModelError

T = TypeVar("T")


@dataclass(frozen=True)
class Backbone:
    """A loaded model and what its caller must know to feed it."""

    model: Any  # a transformers PreTrainedModel
    causal: bool  # no position sees a later one, so right padding needs no mask
    positions: int | None  # the longest row it can read
    segments: bool  # it tells the first text of a pair from the second


def load_backbone(
    model_path: str, *, dtype: torch.dtype = torch.float32, attention: str = "sdpa", ask_causal: bool = True
) -> Backbone:
    """Load the weights onto the CPU, in eval mode. Whether the model is causal is tested by a forward pass, which
    sharded weights cannot make yet."""
    from transformers import AutoModel

    model = _pretrained(AutoModel, model_path, dtype, attention)
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelError(f"{model_path} is an encoder-decoder ({model.config.model_type}); use a decoder or an encoder")
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None  # our head pools by itself, and many checkpoints lack its weights
    _fuse_kernels(model)
    model.eval()
    model.warn_if_padding_and_no_attention_mask = _no_warning
    return Backbone(
        model, ask_causal and is_causal(model), positions_of(model), getattr(model.config, "type_vocab_size", 0) > 1
    )


def load_causal(
    model_path: str, *, dtype: torch.dtype = torch.float32, attention: str = "sdpa", ask_causal: bool = True
) -> Any:
    """A decoder with its language-model head, in eval mode."""
    from transformers import AutoModelForCausalLM

    model = _pretrained(AutoModelForCausalLM, model_path, dtype, attention)
    if ask_causal and not is_causal(model.base_model):
        raise ModelError(
            f"{model_path} reads both ways ({model.config.model_type}), so it has no next word; name a causal language"
            " model"
        )
    _fuse_kernels(model)
    model.warn_if_padding_and_no_attention_mask = _no_warning
    return model.eval()


def _pretrained(auto: Any, model_path: str, dtype: torch.dtype, attention: str) -> Any:
    how = {"dtype": dtype, "use_safetensors": True, "attn_implementation": attention}
    with quiet():
        return _load(model_path, lambda name, options: auto.from_pretrained(name, **how, **options))


def load_tokenizer(model_path: str) -> Any:
    """The tokenizer of the model. It needs no pad token: padding is ours, and lengths, not token ids, tell it from
    content."""
    from transformers import AutoTokenizer

    with quiet():
        return _load(model_path, lambda name, options: AutoTokenizer.from_pretrained(name, **options))


def shape_of(model_path: str) -> Shape:
    """The shape of a model, from its config alone."""
    return Shape.of(_config(model_path).to_dict())


def longest_of(model_path: str) -> int | None:
    """The longest row that a model reads, without its weights: the model is made without any."""
    from transformers import AutoModel

    config = _config(model_path)
    with quiet(), torch.device("meta"):
        return positions_of(AutoModel.from_config(config))


def _config(model_path: str) -> Any:
    from transformers import AutoConfig

    with quiet():
        return _load(model_path, lambda name, options: AutoConfig.from_pretrained(name, **options))


def pad_id(tokenizer: Any) -> int:
    """An id that is safe to embed where there is no token."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def source(model_path: str) -> tuple[str, str | None]:
    """`hub:org/name@revision` -> (name, revision); a folder -> (folder, None)."""
    if model_path.startswith("hub:"):
        name, _, revision = model_path.removeprefix("hub:").partition("@")
        if not revision:
            raise ModelError(
                f"{model_path} names no revision, so that its weights may change; write hub:{name}@REVISION"
            )
        return name, revision
    folder = Path(model_path.removeprefix("path:")).expanduser().absolute()
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is not a Hugging Face model folder (no config.json); give a folder, or hub:ORG/NAME@REVISION"
        )
    return str(folder), None


def _load(model_path: str, load: Callable[[str, dict[str, Any]], T]) -> T:
    from huggingface_hub import constants

    name, revision = source(model_path)
    options: dict[str, Any] = {
        "trust_remote_code": False,
        "local_files_only": revision is None or constants.HF_HUB_OFFLINE,
    }
    if revision is not None:
        options["revision"] = revision
    try:
        return load(name, options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"cannot load {model_path}: {error}; it must hold a model without remote code, with weights in safetensors"
            " and a tokenizer"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no reports on heads that are left out on purpose."""
    # transformers imports accelerate, which imports deepspeed where it is installed, which logs that it looks for a
    # device unless one is set.
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # transformers' advice to those who call it, which peft is
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _no_warning(*_: Any) -> None:
    """Padding without a mask is on purpose for causal models; the check reads the device in every forward."""


@torch.no_grad()
def is_causal(model: Any) -> bool:
    """Whether changing the last token leaves all earlier hidden states as they were. Tested on the model itself, so
    that no list of architectures can be out of date."""
    last = int(getattr(model.config.get_text_config(), "vocab_size", 4)) - 1
    rows = torch.tensor([[1, 1, 1, 1], [1, 1, 1, last]], device=model.device)
    first, second = (model(input_ids=row[None]).last_hidden_state[0].float() for row in rows)
    return bool(torch.allclose(first[:3], second[:3], rtol=1e-4, atol=1e-5)) and not torch.allclose(
        first[3], second[3], rtol=1e-4, atol=1e-5
    )


def positions_of(model: Any) -> int | None:
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    reserved = 0
    for name, module in model.named_modules():  # RoBERTa and its kin count positions from padding_idx + 1
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            reserved = module.padding_idx + 1
    return int(limit) - reserved


def _fuse_kernels(model: nn.Module) -> None:
    """The same functions in one kernel each; the eager forms read and write every activation five to eight times."""
    from transformers.activations import NewGELUActivation
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.mistral.modeling_mistral import MistralRMSNorm
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is NewGELUActivation:
                setattr(parent, name, nn.GELU(approximate="tanh"))
            elif type(child) in (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm):
                setattr(parent, name, _rms_norm(child))


def _rms_norm(slow: Any) -> nn.RMSNorm:
    fast = nn.RMSNorm(getattr(slow.weight, "ds_shape", slow.weight.shape)[0], eps=slow.variance_epsilon)
    fast.weight = slow.weight
    return fast
