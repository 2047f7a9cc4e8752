"""How much memory a fit takes on each device, and the cheapest way of running it that fits. Arithmetic without torch,
since a plan needs it too.

What a device holds at the peak of a step, in bytes:

| part | one process | ZeRO 0 | 1 | 2 | 3 |
|---|---|---|---|---|---|
| weights | 4 P | 4 P | 4 P | 4 P | 4 P / n, and twice those that are gathered |
| casts: bf16 copies of the weights, made by autocast | 2 P | 2 P | 2 P | 2 P | of those that are gathered |
| gradients | 4 P | 4 P | 4 P, and 4 P / n reduced | one layer's, and 4 P / n | one layer's, and 4 P / n |
| fp32 masters | none | none | 4 P / n | 4 P / n | 4 P / n |
| AdamW's two moments | 8 P | 8 P | 8 P / n | 8 P / n | 8 P / n |
| buckets of what is sent | none | B | B | B | B |

P parameters (of the frozen ones weights alone, in bf16 2 bytes each), n processes, B the bytes of one bucket.
Rajbhandari et al. 2020 (arXiv 1910.02054) § 5 for half-precision training; ours keeps weights in fp32 and casts them
(autocast), which costs the same 16 bytes a parameter. Activations: what a layer keeps for its backward pass, counted in
the code of `transformers` (Korthikanti et al. 2022, arXiv 2205.05198, § 4 count the classic layer so); attention keeps
no matrix (SDPA).
"""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import ResourceError
from w2s_ray.core.resources import GB, TOKENS_AT_ONCE, Resources

BUCKET = 50_000_000  # elements that are sent at once
GATHERED = 200_000_000  # elements of whole weights that stage 3 holds at once
MOST_TOKENS_GPU = 32_768  # more at once are no faster
GOOD_TOKENS = 2_048  # with fewer at once a GPU idles, so the next stage is tried first
SPARE = 0.1  # of a device, for fragments and the libraries' own
PROCESS_GB = 0.8  # a process on a CPU, before it loads anything
CONTEXT_GB = 1.0  # CUDA's and NCCL's own
GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd")  # of which a machine with GPUs has one

_NAMES: dict[str, tuple[str, ...]] = {
    "width": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head"),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim", "d_ff"),
    "vocab": ("vocab_size",),
}
_UNGATED = (
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "opt",
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "albert",
    "phi",
    "bloom",
    "mpnet",
    "xlm-roberta",
)


@dataclass(frozen=True)
class Shape:
    """The numbers of a transformer that decide its memory."""

    width: int
    layers: int
    heads: int
    key_width: int  # of all key heads together
    ffn: int
    vocab: int
    gated: bool  # an MLP of three matrices
    parameters: int  # without a language-model head
    tied: bool = True  # that head is the embedding

    @staticmethod
    def of(config: Mapping[str, Any], parameters: int | None = None) -> Shape:
        """From a `config.json`; a count of parameters that is not given is computed."""
        config = config.get("text_config") or config
        found = {name: next((int(config[key]) for key in keys if config.get(key)), 0) for name, keys in _NAMES.items()}
        width, heads = found["width"], max(found["heads"], 1)
        head_width = int(config.get("head_dim") or width // heads)
        key_width = int(config.get("num_key_value_heads") or heads) * head_width
        ffn = found["ffn"] or 4 * width
        gated = config.get("model_type") not in _UNGATED
        layer = width * (2 * heads * head_width + 2 * key_width) + (3 if gated else 2) * width * ffn
        counted = found["vocab"] * width + found["layers"] * layer
        tied = bool(config.get("tie_word_embeddings", True))
        return Shape(width, found["layers"], heads, key_width, ffn, found["vocab"], gated, parameters or counted, tied)

    def speaking(self) -> Shape:
        """With the head of a language model."""
        return self if self.tied else replace(self, parameters=self.parameters + self.vocab * self.width, tied=True)

    def trained(self, recipe: Recipe) -> int:
        """How many parameters are trained."""
        if not recipe.way.frozen:
            return self.parameters
        if recipe.way.solved:
            return 0
        sides = (
            2 * 2 * self.width + 2 * (self.width + self.key_width) + (3 if self.gated else 2) * (self.width + self.ffn)
        )
        return self.layers * recipe.lora.rank * sides

    def at_rest(self, recipe: Recipe) -> float:
        """Bytes of the weights alone."""
        return (2.0 if recipe.precision == "bf16" and recipe.way.frozen else 4.0) * self.parameters

    def activations(self, tokens: int, recipe: Recipe, *, recomputed: bool) -> float:
        """Bytes that a forward pass keeps for the backward pass, and the largest temporaries of the latter."""
        half = 2 if recipe.precision == "bf16" else 4
        mlp = 4 if self.gated else 2
        # The residual stream is fp32 before and after attention; norms' outputs, q, k, v, attention's output twice, and
        # the MLP's inner values are cast.
        layer = 2 * 4 * self.width + half * (5 * self.width + 2 * self.key_width + mlp * self.ffn)
        if recipe.way.adapters:
            layer += half * (3 * self.width + self.ffn)  # the adapters' inputs, cast for them
        temporary = 4 * 2 * max(self.ffn, self.width)
        kept = 4 * self.width * self.layers + layer if recomputed else layer * self.layers
        return float(tokens * (kept + temporary + 4 * self.width))


@dataclass(frozen=True)
class Way:
    """One way of running a fit, with the bytes on each device by part."""

    stage: int | None  # None: without DeepSpeed
    recomputed: bool
    micro_tokens: int
    parts: Mapping[str, float]
    host: float  # bytes of the host's memory for each process, where something is offloaded
    room: float  # bytes of the device that may be filled

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.total <= self.room

    def arithmetic(self) -> str:
        """`weights 28.4 + gradients …`, in GB."""
        return (
            " + ".join(f"{name} {size / GB:.1f}" for name, size in self.parts.items() if size >= 0.05 * GB)
            or "less than 0.1"
        )


def ways(
    shape: Shape,
    recipe: Recipe,
    resources: Resources,
    workers: int,
    device_bytes: float,
    longest: int,
    *,
    gpu: bool,
    answered: float = 0.0,
) -> Iterator[Way]:
    """Every way that the request allows, the cheapest to run first, each with the most tokens at once that fit, or the
    fewest that the longest row needs.

    `answered` is the share of tokens for which words are predicted: each has fp32 logits of the whole vocabulary, their
    log-softmax and their gradient.
    """
    room = device_bytes * (1 - SPARE) - (CONTEXT_GB if gpu else PROCESS_GB) * GB
    stages: tuple[int | None, ...] = (0, 1, 2, 3) if resources.zero == "auto" else (resources.zero,)
    if not resources.sharded:
        stages = (None,)
    elif resources.zero == "auto" and resources.offload != "none":
        stages = (3,) if resources.offload == "params" else (1, 2, 3)
    of_one_step = -(-recipe.batch // workers) * longest
    for stage in stages:
        for recomputed in (
            (False, True) if resources.activation_checkpointing == "auto" else (resources.activation_checkpointing,)
        ):
            for tokens in _candidates(resources, longest, gpu=gpu):
                parts, host = _parts(shape, recipe, workers, stage, resources.offload)
                if not gpu:
                    parts["offloaded"], host = host, 0.0  # the host is the device
                at_once = min(max(tokens, longest), of_one_step)
                parts["acts"] = shape.activations(at_once, recipe, recomputed=recomputed)
                parts["logits"] = 3 * 4.0 * shape.vocab * at_once * answered
                way = Way(stage, recomputed, tokens, parts, host, room)
                if way.fits:
                    break
            yield way


def settle(
    shape: Shape,
    recipe: Recipe,
    resources: Resources,
    workers: int,
    device_bytes: float,
    longest: int,
    *,
    gpu: bool,
    answered: float = 0.0,
) -> Way:
    """The first way that fits with enough tokens at once to keep a device busy, else the first that fits at all; an
    impossible request is refused with its arithmetic."""
    allowed = list(ways(shape, recipe, resources, workers, device_bytes, longest, gpu=gpu, answered=answered))
    fitting = [way for way in allowed if way.fits]
    enough = min(GOOD_TOKENS, -(-recipe.batch // workers) * longest)
    busy = [way for way in fitting if way.micro_tokens >= enough]
    if fitting:
        return (busy or fitting)[0]
    least = min(allowed, key=lambda way: way.total)
    raise ResourceError(
        f"a fit of {in_words(shape.parameters)} parameters ({recipe.adapt}, {recipe.precision}) on {workers} x"
        f" {device_bytes / GB:.1f} GB does not fit: {name_of(least)} with {least.micro_tokens} tokens at once needs"
        f" {least.arithmetic()} = {least.total / GB:.1f} GB a device, and {max(least.room, 0) / GB:.1f} GB are free for"
        f" it; {_advice(resources, recipe)}"
    )


def in_words(count: float) -> str:
    """7.07 B, 1.4 M."""
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def name_of(way: Way) -> str:
    return ("one device" if way.stage is None else f"ZeRO {way.stage}") + (", recomputed" if way.recomputed else "")


def num_gpus() -> int:
    """GPUs of this machine that this process may use."""
    if not any(map(glob.glob, GPU_FILES)):
        return 0
    import torch  # takes a second, spent only where there may be one

    return torch.cuda.device_count()


def host_bytes() -> float:
    """Memory that this machine's processes may use: all of it, or what the container grants."""
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            granted = file.read().strip()
    except OSError:
        return physical
    return min(physical, float(granted)) if granted.isdigit() else physical


def _candidates(resources: Resources, longest: int, *, gpu: bool) -> list[int]:
    """Tokens at once, most first, down to the longest row."""
    if resources.micro_tokens != "auto":
        return [resources.micro_tokens]
    most = max(MOST_TOKENS_GPU if gpu else TOKENS_AT_ONCE, longest)
    return [max(most >> halvings, longest) for halvings in range(math.ceil(math.log2(most / longest)) + 1)]


def _parts(
    shape: Shape, recipe: Recipe, workers: int, stage: int | None, offload: str
) -> tuple[dict[str, float], float]:
    trained = shape.trained(recipe)
    frozen = shape.parameters - trained if not recipe.way.frozen else shape.parameters
    bf16 = recipe.precision == "bf16"
    weights = 4.0 * trained + (2.0 if bf16 and recipe.way.frozen else 4.0) * frozen
    copies = 2.0 * trained if bf16 else 0.0
    resting = weights
    spread = workers if stage else 1
    gradients, masters, moments, bucket = (
        4.0 * trained,
        4.0 * trained / spread if stage else 0.0,
        8.0 * trained / spread,
        0.0,
    )
    if stage is not None:
        bucket = 4.0 * min(BUCKET, trained) * 2
    if stage == 1:
        gradients += 4.0 * trained / workers
    if stage in (2, 3):
        gradients = 4.0 * trained / workers + 4.0 * _one_layer(shape, trained)
    if stage == 3:
        gathered = min(shape.parameters, max(GATHERED, shape.vocab * shape.width) + _one_layer(shape, shape.parameters))
        weights = weights / workers + 2 * gathered * (weights / shape.parameters)  # as it arrives, and in its place
        copies = 2.0 * gathered if bf16 and not recipe.way.frozen else 0.0
    host = 0.0
    if offload in ("optimizer", "params"):
        host, masters, moments = masters + moments + 4.0 * trained / workers, 0.0, 0.0
    if offload == "params":
        host += resting / workers
        weights -= resting / workers
    return {
        "weights": weights,
        "casts": copies,
        "grads": gradients,
        "masters": masters,
        "moments": moments,
        "buckets": bucket,
    }, host


def _one_layer(shape: Shape, parameters: int) -> float:
    return parameters / max(shape.layers, 1)


def _advice(resources: Resources, recipe: Recipe) -> str:
    ideas = []
    if not recipe.way.frozen:
        ideas.append("train adapters (adapt: lora)")
    if resources.zero not in ("auto", 3):
        ideas.append("spread more (zero: 3)")
    if resources.offload == "none":
        ideas.append("offload: optimizer")
    if resources.activation_checkpointing is False:
        ideas.append("activation_checkpointing: true")
    return ", ".join([*ideas, "or more workers"])
