"""Causal language models that are asked: how surprised they are, how likely a continuation is, and what comes next.

Shapes: Q sequences, B rows of a batch, T tokens, V words of the vocabulary, L tokens of an answer, N rows in the order
of their ids, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.tokens import Tokens, continued, tokenise
from w2s_ray.backends.devices.device import autocast, pick_device
from w2s_ray.backends.inference.rows import over_rows
from w2s_ray.backends.models.language_model import LanguageModel, texts_of
from w2s_ray.backends.models.load import load_causal, load_tokenizer, pad_id, positions_of
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError
from w2s_ray.core.resources import Resources

Floats = npt.NDArray[np.float64]


@dataclass
class Language:
    """A loaded causal language model with its tokenizer."""

    model: LanguageModel
    tokenizer: Any
    device: torch.device
    resources: Resources
    positions: int | None
    cache: Path | None = None

    def surprise(self, data: Dataset) -> float:
        """Mean -log p of a token, in nats."""
        tokens = tokenise(data, self.tokenizer, self.cache)
        tokens.check_lengths(self.positions, "this model")
        mean_N1 = over_rows(self._scored, tokens, pad_id(self.tokenizer), self.resources.tokens_at_once, self.device)
        weights_N = _predicted(tokens)
        return float((mean_N1[:, 0] * weights_N).sum() / weights_N.sum())

    def likelihoods(self, prompts: Sequence[str], candidates: Sequence[Sequence[str]]) -> Floats:
        """log p(candidate | prompt), summed over the candidate's tokens [N, C]; every prompt has as many candidates."""
        num = len(candidates[0])
        flat = [str(candidate) for row in candidates for candidate in row]
        if not all(flat):
            raise DataError("an empty candidate adds no token to the prompt; give candidates that are not empty")
        ids, starts = continued([prompt for prompt in prompts for _ in range(num)], flat, self.tokenizer)
        self._check([len(row) for row in ids], "a prompt with a candidate")
        out = np.empty(len(ids))
        with torch.inference_mode():
            for rows in _runs([len(row) for row in ids], self.resources.tokens_at_once):
                batch = _padded(
                    [ids[i].tolist() for i in rows], pad_id(self.tokenizer), self.device, [starts[i] for i in rows]
                )
                out[rows] = self._evaluated().tail(batch)[0].cpu().numpy()
        return out.reshape(-1, num)

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """The likeliest next token, again and again, until the end token or `max_tokens`."""
        end = -1 if self.tokenizer.eos_token_id is None else self.tokenizer.eos_token_id
        encoded: list[list[int]] = self.tokenizer(
            list(prompts), padding=False, truncation=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        lengths = [len(ids) + max_tokens for ids in encoded]
        self._check(lengths, "a prompt with its answer")
        out = [""] * len(encoded)
        with torch.inference_mode():
            for rows in _runs(lengths, self.resources.tokens_at_once):
                batch = _padded([encoded[i] for i in rows], pad_id(self.tokenizer), self.device)
                for i, text in zip(
                    rows,
                    texts_of(self._evaluated().greedy(batch, max_tokens, end).cpu().numpy(), self.tokenizer),
                    strict=True,
                ):
                    out[i] = text
        return out

    def _scored(self, batch: Padded) -> Tensor:
        return self._evaluated()(batch)  # type: ignore[no-any-return]  # torch's __call__ is untyped

    def _evaluated(self) -> LanguageModel:
        return self.model.eval()

    def _check(self, lengths: Sequence[int], what: str) -> None:
        longest = max(lengths, default=0)
        if self.positions is not None and longest > self.positions:
            raise DataError(
                f"{what} has {longest} tokens where this model reads {self.positions}; shorten the longest texts, or"
                " use another model"
            )


def load_language(model_path: str, recipe: Recipe, resources: Resources, cache: Path | None = None) -> Language:
    """A pretrained language model, to be asked. Of the recipe, `precision` counts."""
    device = pick_device(resources)
    whole = load_causal(model_path)
    model = LanguageModel(whole, autocast(device, recipe.precision)).to(device).eval()
    return Language(model, load_tokenizer(model_path), device, resources, positions_of(whole), cache)


def _predicted(tokens: Tokens) -> Floats:
    return (tokens.lengths_N - 1).astype(np.float64)


def _padded(
    rows: Sequence[Sequence[int]], fill: int, device: torch.device, second: Sequence[int] | None = None
) -> Padded:
    lengths = [len(row) for row in rows]
    ids = [[*row, *[fill] * (max(lengths) - len(row))] for row in rows]
    lengths_Q = torch.tensor(lengths, device=device)
    second_Q = lengths_Q if second is None else torch.tensor(second, device=device)
    return Padded(torch.tensor(ids, device=device), lengths_Q, second_Q, full=min(lengths) == max(lengths))


def _runs(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows, longest first, in runs whose padded size stays within `max_tokens`."""
    runs: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not runs or (len(runs[-1]) + 1) * lengths[runs[-1][0]] > max_tokens:
            runs.append([])
        runs[-1].append(i)
    return runs
