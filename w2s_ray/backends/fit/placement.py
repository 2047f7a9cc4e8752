"""Resolves `auto` for the device at hand, and goes on with a fit that runs out of memory all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch

from w2s_ray.backends.batch.tokens import Tokens
from w2s_ray.backends.devices.gang import ALONE, Gang
from w2s_ray.backends.devices.memory import Way, host_bytes, settle
from w2s_ray.backends.models.load import shape_of
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import OutOfMemory
from w2s_ray.core.resources import Resources

T = TypeVar("T")


def settled(
    model_path: str,
    recipe: Recipe,
    tokens: Tokens,
    resources: Resources,
    device: torch.device,
    gang: Gang = ALONE,
    *,
    share: float = 1.0,
    speaks: bool = False,
) -> Resources:
    """The request with every `auto` resolved; a model that `speaks` predicts next tokens. All processes of a gang
    resolve alike, by the smallest of their devices."""
    longest = int(tokens.lengths_N.max(initial=1))
    smallest = gang.least(share * device_bytes(resources, device), device)
    shape, answered = shape_of(model_path), tokens.answer_share if speaks else 0.0
    way = settle(
        shape.speaking() if speaks else shape,
        recipe,
        resources,
        gang.size,
        smallest,
        longest,
        gpu=device.type == "cuda",
        answered=answered,
    )
    return as_resources(resources, way)


def as_resources(resources: Resources, way: Way) -> Resources:
    zero = resources.zero if way.stage is None else way.stage
    settled: dict[str, Any] = {"zero": zero, "micro_tokens": way.micro_tokens}
    return replace(resources, activation_checkpointing=way.recomputed, **settled)


def device_bytes(resources: Resources, device: torch.device) -> float:
    """Memory that this process may use: its part of the GPU, or of the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory * min(resources.num_gpus, 1.0)
    return resources.memory_gb * 2**30 or host_bytes() / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def halving(fit: Callable[[Resources, list[int]], T], resources: Resources) -> T:
    """Fit; where memory runs out, go on from the checkpoint with half as many tokens at once, and note that in
    `halvings`. The batch stays what it is."""
    halvings: list[int] = []
    while True:
        try:
            return fit(resources, halvings)
        except OutOfMemory as error:
            halvings.append(error.micro_tokens)
            resources = replace(resources, **error.next())
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def out_of_memory(error: torch.OutOfMemoryError, tokens: Tokens, resources: Resources) -> OutOfMemory:
    way = {"zero": resources.zero, "activation_checkpointing": resources.activation_checkpointing}
    return OutOfMemory(resources.tokens_at_once, int(tokens.lengths_N.max(initial=1)), str(error).split(". ")[0], way)
