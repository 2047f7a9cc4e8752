"""One fit on one device: rows, labels and a recipe in, something that predicts out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from w2s_ray.backends.devices.device import autocast, pick_device, synchronise
from w2s_ray.backends.fit.fitted import Fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.loop import Loop
from w2s_ray.backends.fit.placement import halving, settled
from w2s_ray.backends.models.classifier import training_mode
from w2s_ray.backends.models.load import load_tokenizer, pad_id
from w2s_ray.backends.models.readers import Reader
from w2s_ray.core.seeds import derive_seed


def fit(job: Job) -> Fitted:
    """Train on the rows that at least one teacher labels. A checkpoint of the same fit in the job's place is continued;
    so is a fit that ran out of memory, with fewer tokens at once."""
    return halving(lambda resources, halvings: _fit(replace(job, resources=resources), halvings), job.resources)


def _fit(job: Job, halvings: list[int]) -> Fitted:
    device = pick_device(job.resources)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(job.recipe.seed, "dropout"))
        prepared = ReadyFit.of(job, device)
        prepared.loop.run(job.place, job.digest, job.progress)
    return prepared.fitted({"halvings": halvings})


@dataclass(frozen=True)
class ReadyFit:
    """A fit that is loaded and ready to run."""

    job: Job
    reader: Reader
    made: Fitted
    loop: Loop
    clock: Clock

    @staticmethod
    def of(job: Job, device: torch.device, base: Reader | None = None, share: float = 1.0) -> ReadyFit:
        """Load and tokenise. Frozen weights are shared with `base`, a model of the same kind; `share` is this fit's
        share of the device's memory."""
        recipe = job.recipe
        cast = autocast(device, recipe.precision)
        clock = Clock(device)
        tokenizer = load_tokenizer(job.model_path)
        tokens = job.tokens(tokenizer)
        targets = job.targets(tokens)
        resources = settled(
            job.model_path, recipe, tokens, job.resources, device, share=share, speaks=job.data.kind.by_words
        )
        clock.lap("tokenise")
        reader = job.reader(cast)
        if base is not None:
            share_frozen(reader, base)
        reader.to(device)
        tokens.check_lengths(reader.positions, job.model_path)
        clock.lap("load")
        training_mode(reader, recipe, activation_checkpointing=resources.activation_checkpointing is True)
        loop = Loop.build(reader, job.loss_fn(targets), tokens, targets, recipe, resources, pad_id(tokenizer), device)
        fitted = Fitted(reader, tokenizer, recipe, job.data.classes, device, resources, job.cache)
        loop.watch = job.watch
        loop.checks = job.checks(fitted, loop.total, resources.activation_checkpointing is True)
        return ReadyFit(job, reader, fitted, loop, clock)

    def fitted(self, facts: dict[str, Any]) -> Fitted:
        """The result, after the last step."""
        self.clock.lap("train")
        loop, job = self.loop, self.job
        facts = loop.facts(job.model_path) | {"seconds": self.clock.seconds} | facts
        return replace(self.made, log=loop.log(), facts=facts)


def share_frozen(model: nn.Module, base: nn.Module) -> None:
    """Make a model use the frozen weights of another one of its kind."""
    for mine, other in zip(model.parameters(), base.parameters(), strict=True):
        if not mine.requires_grad:
            mine.data = other.data


class Clock:
    """Seconds of each phase."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self._since = device, dict[str, float](), time.monotonic()

    def lap(self, phase: str) -> None:
        synchronise(self.device)
        now = time.monotonic()
        self.seconds[phase], self._since = now - self._since, now
