"""`Recipe`: all that decides what a fit learns, and nothing about where it runs (that is `Resources`).

Each field says for which uses of a recipe it counts (`core/identity.py`): change one that counts and the fit has
another key.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, SerializeAsAny, field_validator

from w2s_ray.config.adapt import (
    ADAPTERS,
    ADAPTS,
    ASK,
    DRAWN,
    EMBED,
    LABELS,
    MEMORY,
    PROBE,
    STACK,
    TEXTS,
    Adapt,
    AdaptName,
)
from w2s_ray.core.dataset import PLAIN
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.identity import Counts, identity
from w2s_ray.core.plugins import build, plugin
from w2s_ray.core.seeds import stream

Loss = Annotated[SerializeAsAny[BaseModel], plugin("w2s_ray.losses")]
Layer = int | Literal["middle"]

LEARNING = Counts(LABELS, TEXTS)
OF_LABELS = Counts(LABELS)


class Lora(Frozen):
    """Low-rank adapters on all linear layers (Hu et al. 2021, arXiv 2106.09685); alpha / rank scales the update."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class Check(Frozen):
    """Evaluations on rows that the fit does not learn from; the best one's weights are kept (early stopping)."""

    every: float = Field(0.1, gt=0, description="below 1 a share of all steps, from 1 on a number of steps")
    metric: Literal["accuracy", "auroc", "log_loss"] = "accuracy"
    share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description=(
            "of the fit's own rows, kept out of it and looked at with the labels that it learns from, where none are"
            " given"
        ),
    )


class Recipe(Frozen):
    """How a model is finetuned."""

    adapt: Annotated[AdaptName, Counts(LABELS, TEXTS, PROBE, STACK, MEMORY)] = Field(
        "full",
        description="all weights, low-rank adapters, or a linear probe on frozen features (closed form or L-BFGS)",
    )
    loss: Annotated[Loss, OF_LABELS] = Field(default_factory=lambda: build("w2s_ray.losses", "xent"))
    lr: Annotated[float, LEARNING] = Field(1e-4, gt=0)
    epochs: Annotated[int, LEARNING] = Field(2, ge=1)
    batch: Annotated[int, Counts(LABELS, TEXTS, MEMORY)] = Field(
        32, ge=1, description="rows per optimizer step, whatever the devices"
    )
    schedule: Annotated[Literal["cosine", "linear", "constant"], LEARNING] = "cosine"
    warmup: Annotated[float, LEARNING] = Field(
        0.0, ge=0, description="below 1 a share of all steps, from 1 on a number of steps"
    )
    betas: Annotated[tuple[float, float], LEARNING] = (0.9, 0.999)
    eps: Annotated[float, LEARNING] = Field(1e-8, gt=0)
    weight_decay: Annotated[float, LEARNING] = Field(0.0, ge=0)
    clip: Annotated[float | None, LEARNING] = Field(
        1.0, gt=0, description="largest norm of the gradient; null for none"
    )
    precision: Annotated[Literal["fp32", "bf16"], Counts(LABELS, TEXTS, PROBE, EMBED, ASK, STACK, MEMORY)] = Field(
        "fp32", description="of the computation; master weights and optimizer state stay fp32"
    )
    pooling: Annotated[Literal["last", "mean"], Counts(LABELS, PROBE, EMBED, STACK)] = Field(
        "last", description="which hidden states the head reads: the last real token's, or the mean over real tokens"
    )
    dropout: Annotated[bool, LEARNING] = Field(
        False, description="use the model's own dropout in training (Burns et al.'s code does not)"
    )
    head_init: Annotated[Literal["zero", "small", "normal"], OF_LABELS] = Field(
        "zero", description="normal: of deviation 0.02; small: a hundredth of that"
    )
    lora: Annotated[Lora, Counts(ADAPTERS, STACK, MEMORY)] = Lora()
    l2: Annotated[float, Counts(PROBE)] = Field(1e-3, ge=0, description="of the linear probe")
    layer: Annotated[Layer, Counts(LABELS, PROBE, EMBED, STACK)] = Field(
        -1, description="whose hidden states the head or the linear probe reads: 0 the embeddings, middle, -1 the last"
    )
    features: Annotated[float, Counts(LABELS, PROBE)] = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the hidden dimensions that the head or the linear probe reads, drawn by the seed",
    )
    prompt: Annotated[str, Counts(LABELS, EMBED, ASK)] = Field(
        PLAIN, description="what the model reads of a row; {text} stands for its text (of a pair for the first one)"
    )
    answer_tokens: Annotated[int, Counts(LABELS, ASK)] = Field(
        16, ge=1, description="most tokens of an answer that the model generates itself"
    )
    per_token: Annotated[bool, Counts(LABELS, ASK)] = Field(
        False, description="compare the candidates of a choice by log p a token, which does not favour short ones"
    )
    order: Annotated[Literal["each", "once"], LEARNING] = Field(
        "each", description="each: every epoch draws another order of the rows; once: one for all"
    )
    check: Annotated[Check | None, OF_LABELS] = Field(
        None, description="early stopping; null: the last weights are kept"
    )
    bucket: Annotated[int, LEARNING] = Field(
        16, ge=1, description="optimizer steps whose rows are sorted by length together; 1 keeps purely random batches"
    )
    seed: Annotated[int, Counts(LABELS, TEXTS, DRAWN)] = 0

    @field_validator("prompt")
    @classmethod
    def _prompt_has_the_text(cls, prompt: str) -> str:
        if "{text}" not in prompt:
            raise ValueError(
                f"{prompt!r} has no {{text}}, so that all rows would read alike; write it where the row's text belongs"
            )
        return prompt

    @field_validator("betas")
    @classmethod
    def _betas_below_one(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        return betas

    @property
    def way(self) -> Adapt:
        """The way of adapting, as an object."""
        return ADAPTS[self.adapt]

    def identity(self) -> dict[str, Any]:
        """The identity of a fit to labels. A probe is solved exactly, so its seed counts only where it draws
        features."""
        drawn = (DRAWN,) if self.way.solved and self.features < 1 else ()
        return identity(self, *self.way.uses, *drawn)

    def reading_identity(self) -> dict[str, Any]:
        """The identity of a fit to texts without labels."""
        return identity(self, TEXTS, *((ADAPTERS,) if self.way.adapters else ()))

    def read_features(self, width: int) -> npt.NDArray[np.int64]:
        """Which of the hidden dimensions are read (the random subspace method, Ho 1998, doi 10.1109/34.709601)."""
        count = max(1, round(self.features * width))
        return np.sort(stream(self.seed, "features").permutation(width)[:count])

    def warmup_steps(self, total: int) -> int:
        """The number of warm-up steps among `total`."""
        return min(total, math.ceil(self.warmup * total) if self.warmup < 1 else int(self.warmup))
