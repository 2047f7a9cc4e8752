"""Causal language models: finetuned on texts without labels, and asked how likely a continuation is.

Shapes: B rows, T tokens, V words of the vocabulary, N rows in the order of their ids, C candidates.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from w2s_ray.backends import inference
from w2s_ray.backends.checkpoint import CheckpointPlace
from w2s_ray.backends.classifier import Padded, training_mode
from w2s_ray.backends.devices import Autocast, autocast, pick_device
from w2s_ray.backends.fit import Loop, Progress
from w2s_ray.backends.models import load_causal, load_tokenizer, pad_id, positions_of, quiet
from w2s_ray.backends.targets import Targets
from w2s_ray.backends.tokens import Tokens, tokenise
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError, ModelError
from w2s_ray.core.ids import content_digest
from w2s_ray.core.resources import Resources
from w2s_ray.core.seeds import derive_seed

Floats = npt.NDArray[np.float64]


class LanguageModel(nn.Module):
    """Rows in, the mean surprise (nats a token) of each row's tokens out; the first token is given."""

    def __init__(self, whole: Any, autocast: Autocast = nullcontext) -> None:
        super().__init__()
        self.backbone = whole
        self.autocast = autocast

    def forward(self, batch: Padded) -> Tensor:
        surprise_BT, real_BT = self._surprise(batch)
        mean_B: Tensor = (surprise_BT * real_BT).sum(dim=1) / real_BT.sum(dim=1).clamp_min(1)
        return mean_B[:, None]

    def logits(self, ids_BT: Tensor, last: int = 0) -> Tensor:
        """logits_BTV in fp32; with `last`, of so many last positions alone."""
        with self.autocast():
            logits_BTV: Tensor = self.backbone(input_ids=ids_BT, use_cache=False, logits_to_keep=last).logits
        return logits_BTV.float()

    def _surprise(self, batch: Padded, last: int = 0) -> tuple[Tensor, Tensor]:
        """-log p of each token but the first (of the `last` ones), and which of them are no padding."""
        T = batch.ids_BT.shape[1]
        asked = min(last, T - 1) if last else T - 1
        next_BT = batch.ids_BT[:, T - asked :]
        logits_BTV = self.logits(batch.ids_BT[:, :-1], asked)  # the last token predicts nothing
        surprise_BT = nn.functional.cross_entropy(logits_BTV.flatten(0, 1), next_BT.flatten(), reduction="none").view(next_BT.shape)
        real_BT = torch.arange(T - asked, T, device=next_BT.device) < batch.lengths_B[:, None]
        return surprise_BT, real_BT

    def tail(self, batch: Padded, counts_B: Tensor) -> Tensor:
        """log p of the last `counts_B` tokens of each row."""
        T, from_B = batch.ids_BT.shape[1], batch.lengths_B - counts_B
        asked = T - int(from_B.min())
        surprise_BT, real_BT = self._surprise(batch, asked)
        counted_BT = real_BT & (torch.arange(T - surprise_BT.shape[1], T, device=real_BT.device) >= from_B[:, None])
        total_B: Tensor = -(surprise_BT * counted_BT).sum(dim=1)
        return total_B


class MeanSurprise:
    """The language model's loss: mean surprise over all tokens, for a row weighs as many as it has."""

    rowwise = True

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        return (logits_BK[:, 0] * weights_B).sum() / weights_B.sum()


@dataclass
class Language:
    """A loaded causal language model with its tokenizer."""

    model: LanguageModel
    tokenizer: Any
    device: torch.device
    resources: Resources
    positions: int | None
    cache: Path | None = None
    log: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def surprise(self, data: Dataset) -> float:
        """Mean -log p of a token, in nats."""
        tokens = tokenise(data, self.tokenizer, self.cache)
        tokens.check_lengths(self.positions, "this model")
        mean_N1 = inference.over_rows(self._scored, tokens, pad_id(self.tokenizer), self.resources.tokens_at_once, self.device)
        weights_N = _predicted(tokens)
        return float((mean_N1[:, 0] * weights_N).sum() / weights_N.sum())

    def likelihoods(self, prompts: Sequence[str], candidates: Sequence[Sequence[str]]) -> Floats:
        """log p(candidate | prompt), summed over the candidate's tokens [N, C]; every prompt has as many candidates."""
        texts = [[f"{prompt} {candidate}" for candidate in row] for prompt, row in zip(prompts, candidates, strict=True)]
        prompt_ids = self._encode(list(prompts))
        flat_ids = self._encode([text for row in texts for text in row], "a prompt with a candidate")
        num = len(candidates[0])
        counts = [len(ids) - len(prompt_ids[i // num]) for i, ids in enumerate(flat_ids)]
        if min(counts) < 1:
            raise DataError("a candidate adds no token to its prompt; give candidates that are not empty")
        out = np.empty(len(flat_ids))
        order = sorted(range(len(flat_ids)), key=lambda i: -len(flat_ids[i]))
        with torch.inference_mode():
            for rows in _runs(order, [len(ids) for ids in flat_ids], self.resources.tokens_at_once):
                batch = _padded([flat_ids[i] for i in rows], pad_id(self.tokenizer), self.device)
                out[rows] = self._evaluated().tail(batch, torch.tensor([counts[i] for i in rows], device=self.device)).cpu().numpy()
        return out.reshape(-1, num)

    def generate(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """The likeliest next token, again and again, until the end token or `max_tokens`."""
        end = self.tokenizer.eos_token_id
        encoded = self._encode(list(prompts), "a prompt with its answer", max_tokens)
        out: list[list[int]] = [[] for _ in encoded]
        order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
        with torch.inference_mode():
            for rows in _runs(order, [len(ids) + max_tokens for ids in encoded], self.resources.tokens_at_once):
                self._extend(rows, encoded, out, max_tokens, end)
        return [self.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in out]

    def _extend(self, rows: list[int], encoded: list[list[int]], out: list[list[int]], max_tokens: int, end: int | None) -> None:
        alive = list(rows)
        for _ in range(max_tokens):
            batch = _padded([encoded[i] + out[i] for i in alive], pad_id(self.tokenizer), self.device)
            kept = batch.ids_BT.shape[1] - int(batch.lengths_B.min()) + 1
            logits_BTV = self._evaluated().logits(batch.ids_BT, kept)
            last_BV = logits_BTV[torch.arange(len(alive), device=self.device), batch.lengths_B - 1 - batch.ids_BT.shape[1]]
            for i, token in zip(alive, last_BV.argmax(dim=1).tolist(), strict=True):
                out[i].append(token)
            alive = [i for i in alive if out[i][-1] != end]
            if not alive:
                return

    def save(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """A Hugging Face folder."""
        with quiet():
            self.model.backbone.to(dtype).save_pretrained(folder, safe_serialization=True)
            self.tokenizer.save_pretrained(folder)

    def _scored(self, batch: Padded) -> Tensor:
        return self._evaluated()(batch)  # type: ignore[no-any-return]  # torch's __call__ is untyped

    def _evaluated(self) -> LanguageModel:
        return self.model.eval()

    def _encode(self, texts: list[str], what: str = "a prompt", room: int = 0) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(texts, padding=False, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
        longest = max(map(len, ids), default=0) + room
        if self.positions is not None and longest > self.positions:
            raise DataError(f"{what} has {longest} tokens where this model reads {self.positions}; shorten the longest texts, or use another model")
        return ids


def load_language(model_path: str, recipe: Recipe, resources: Resources, cache: Path | None = None) -> Language:
    """A pretrained language model, to be asked. Of the recipe, `precision` counts."""
    device = pick_device(resources)
    whole = load_causal(model_path)
    model = LanguageModel(whole, autocast(device, recipe.precision)).to(device).eval()
    return Language(model, load_tokenizer(model_path), device, resources, positions_of(whole), cache)


def fit_language(
    data: Dataset, model_path: str, recipe: Recipe, resources: Resources, place: CheckpointPlace, cache: Path | None, progress: Progress | None = None
) -> Language:
    """Finetune on the texts; of the recipe, what concerns classes and adapters is not read. A checkpoint of the same fit in `place` is continued."""
    if recipe.adapt != "full":
        raise ModelError(f"adapt is {recipe.adapt!r}; language models are trained with all their weights: use adapt: full")
    started = time.monotonic()
    language = load_language(model_path, recipe, resources, cache)
    tokens = tokenise(data, language.tokenizer, cache)
    tokens.check_lengths(language.positions, model_path)
    with torch.random.fork_rng(devices=[language.device] if language.device.type == "cuda" else []):
        torch.manual_seed(derive_seed(recipe.seed, "dropout"))
        training_mode(language.model, recipe, activation_checkpointing=resources.activation_checkpointing is True)
        loop = Loop.build(language.model, MeanSurprise(), tokens, _every_token(tokens), recipe, resources, pad_id(language.tokenizer), language.device)
        loop.run(place, content_digest(["language", data.digest, recipe.model_dump_json()]), progress)
    language.log = loop.log()
    language.facts = loop.facts(model_path) | {"seconds": {"train": time.monotonic() - started}, "last_loss": language.log[-1]["loss"]}
    return language


def _every_token(tokens: Tokens) -> Targets:
    """No labels: each row weighs the tokens that are predicted in it."""
    weights_N = _predicted(tokens)
    return Targets(np.ones((len(tokens), 1, 1)), weights_N, np.flatnonzero(weights_N > 0))


def _predicted(tokens: Tokens) -> Floats:
    return (tokens.lengths_N - 1).astype(np.float64)


def _padded(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> Padded:
    lengths = [len(row) for row in rows]
    ids = [[*row, *[fill] * (max(lengths) - len(row))] for row in rows]
    lengths_B = torch.tensor(lengths, device=device)
    return Padded(torch.tensor(ids, device=device), lengths_B, lengths_B, full=min(lengths) == max(lengths))


def _runs(order: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows, longest first, in runs whose padded size stays within `max_tokens`."""
    runs: list[list[int]] = []
    for i in order:
        if not runs or (len(runs[-1]) + 1) * lengths[runs[-1][0]] > max_tokens:
            runs.append([])
        runs[-1].append(i)
    return runs
