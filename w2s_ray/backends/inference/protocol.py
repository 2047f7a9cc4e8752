"""`Model`: the interface of inference, whatever engine computes it: generation, likelihoods of texts, features and
class probabilities of rows.

`hf.py` is the engine on `transformers`. Another one (a server, a faster library) is another class with these methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from w2s_ray.config.recipe import Layer
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.features import Features
from w2s_ray.core.labels import Floats, LabelSet


@dataclass(frozen=True)
class Completion:
    """What a model generated after a prompt. `tokens` include the token that ends it, where it came to an end."""

    text: str
    tokens: tuple[int, ...]
    log_p: float  # of all its tokens together, in nats
    ended: bool  # it was not cut off


class Model(Protocol):
    """A model, for inference."""

    def generate(self, prompts: Sequence[str], most_tokens: int) -> list[Completion]:
        """Continue each prompt with the likeliest next token, again and again."""

    def likelihoods(
        self, prompts: Sequence[str], continuations: Sequence[Sequence[str]], *, per_token: bool = False
    ) -> Floats:
        """log p of each continuation of each prompt [N, C], of all its tokens, or the mean of them; as many
        continuations for each prompt."""

    def features(self, data: Dataset, layer: Layer = -1) -> Features:
        """A vector for each row."""

    def answer(self, data: Dataset) -> LabelSet | Answers:
        """Predictions for rows of the model's kind: class probabilities, or generated answers."""
