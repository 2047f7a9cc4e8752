"""`Recipe`: all that decides what a fit learns, and nothing about where it runs (that is `Resources`).

Every field is identity: change one and the fit has another key.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny, field_validator

from w2s_ray.core.dataset import PLAIN
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.plugins import build
from w2s_ray.core.seeds import stream

Loss = Annotated[SerializeAsAny[BaseModel], BeforeValidator(partial(build, "w2s_ray.losses"))]


Layer = int | Literal["middle"]


class Lora(Frozen):
    """Low-rank adapters on all linear layers (Hu et al. 2021, arXiv 2106.09685); alpha / rank scales the update."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class Check(Frozen):
    """Looks at rows that the fit does not learn from; of all looks the best one's weights are kept (early stopping)."""

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

    adapt: Literal["full", "lora", "probe"] = Field(
        "full",
        description="all weights, low-rank adapters, or a linear probe on frozen features (closed form or L-BFGS)",
    )
    loss: Loss = Field(default_factory=lambda: build("w2s_ray.losses", "xent"))
    lr: float = Field(1e-4, gt=0)
    epochs: int = Field(2, ge=1)
    batch: int = Field(32, ge=1, description="rows per optimizer step, whatever the devices")
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.0, ge=0, description="below 1 a share of all steps, from 1 on a number of steps")
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient; null for none")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of the computation; master weights and optimizer state stay fp32"
    )
    pooling: Literal["last", "mean"] = Field(
        "last", description="which hidden states the head reads: the last real token's, or the mean over real tokens"
    )
    dropout: bool = Field(False, description="use the model's own dropout in training (Burns et al.'s code does not)")
    head_init: Literal["zero", "small", "normal"] = Field(
        "zero", description="normal: of deviation 0.02; small: a hundredth of that"
    )
    lora: Lora = Lora()
    l2: float = Field(1e-3, ge=0, description="of the linear probe")
    layer: Layer = Field(
        -1, description="whose hidden states the head or the linear probe reads: 0 the embeddings, middle, -1 the last"
    )
    features: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the hidden dimensions that the head or the linear probe reads, drawn by the seed",
    )
    prompt: str = Field(
        PLAIN, description="what the model reads of a row; {text} stands for its text (of a pair for the first one)"
    )
    answer_tokens: int = Field(16, ge=1, description="most tokens of an answer that the model generates itself")
    order: Literal["each", "once"] = Field(
        "each", description="each: every epoch draws another order of the rows; once: one for all"
    )
    check: Check | None = Field(None, description="early stopping; null: the last weights are kept")
    bucket: int = Field(
        16, ge=1, description="optimizer steps whose rows are sorted by length together; 1 keeps purely random batches"
    )
    seed: int = 0

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

    def read_features(self, width: int) -> npt.NDArray[np.int64]:
        """Which of the hidden dimensions are read (the random subspace method, Ho 1998, doi 10.1109/34.709601)."""
        count = max(1, round(self.features * width))
        return np.sort(stream(self.seed, "features").permutation(width)[:count])

    def warmup_steps(self, total: int) -> int:
        """The number of warm-up steps among `total`."""
        return min(total, math.ceil(self.warmup * total) if self.warmup < 1 else int(self.warmup))
