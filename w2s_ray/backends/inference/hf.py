"""Inference with models of `transformers`, on one device or spread over a gang.

Shapes: N rows in the order of their ids, C continuations, L tokens of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.backends.batch.tokens import Tokens, end_id, tokenise, tokens_continued, tokens_of_texts
from w2s_ray.backends.devices.device import autocast, pick_device
from w2s_ray.backends.inference.generate import greedy
from w2s_ray.backends.inference.protocol import Completion
from w2s_ray.backends.inference.rows import OneDevice, OverRows
from w2s_ray.backends.models.answerer import Answerer
from w2s_ray.backends.models.language_model import LanguageModel
from w2s_ray.backends.models.load import load_tokenizer, pad_id
from w2s_ray.backends.models.readers import Reader, build_reader
from w2s_ray.config.recipe import Layer, Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.kinds import GENERATION, Kind
from w2s_ray.core.labels import Floats, LabelSet
from w2s_ray.core.resources import Resources


@dataclass
class HuggingFaceModel:
    """A loaded model with its tokenizer: pretrained, or finetuned to rows of one kind (`protocol.Model`)."""

    reader: Reader
    tokenizer: Any
    recipe: Recipe
    classes: tuple[str, ...]
    rows: OverRows
    cache: Path | None

    # --- texts ---

    def generate(self, prompts: Sequence[str], most_tokens: int) -> list[Completion]:
        return self._completions(tokens_of_texts(prompts, self.tokenizer), most_tokens)

    def likelihoods(
        self, prompts: Sequence[str], continuations: Sequence[Sequence[str]], *, per_token: bool = False
    ) -> Floats:
        if not all(str(text) for row in continuations for text in row):
            raise DataError("an empty candidate adds no token to the prompt; give candidates that are not empty")
        tokens = tokens_continued(prompts, continuations, self.tokenizer)
        model, num = self._language(), len(continuations[0])
        self._check_lengths(tokens)
        log_p_NC, count_NC = self.rows.over(
            lambda batch: tuple(part.view(-1, num) for part in model.tail(batch)), tokens
        )
        found: Floats = (log_p_NC / count_NC.clip(1) if per_token else log_p_NC).astype(np.float64)
        return found

    def surprise(self, texts: Sequence[str]) -> float:
        """Mean -log p of a token that follows another one, in nats."""
        tokens = tokens_of_texts(texts, self.tokenizer)
        model = self._language()
        self._check_lengths(tokens)
        (mean_N1,) = self.rows.over(lambda batch: (model.mean_surprise(batch),), tokens)
        weight_N = tokens.lengths_N - 1.0
        return float((mean_N1[:, 0] * weight_N).sum() / weight_N.sum())

    # --- rows ---

    def answer(self, data: Dataset) -> LabelSet | Answers:
        self._check_rows(data)
        tokens = self._tokens(data)
        if not data.kind.generated:
            reader = self._evaluated()
            (probs_NK,) = self.rows.over(lambda batch: (reader.predicted(batch),), tokens)
            return LabelSet.of(tokens.ids, probs_NK.reshape(len(tokens), len(self.classes))).align(data.ids)
        completions = self._completions(tokens, self.recipe.answer_tokens)
        return Answers.of(
            tokens.ids,
            [one.text for one in completions],
            log_p_N=[one.log_p for one in completions],
            ended_N=[one.ended for one in completions],
            tokens_N=[one.tokens for one in completions],
        ).align(data.ids)

    def features(self, data: Dataset, layer: Layer = -1) -> Features:
        tokens = self._tokens(data)
        reader = self._evaluated()
        (array_ND,) = self.rows.over(lambda batch: (reader.features(batch, layer),), tokens)
        return Features.of(tokens.ids, array_ND, layer=layer, signed=data.kind.signed).align(data.ids)

    # --- inside ---

    def _completions(self, tokens: Tokens, most: int) -> list[Completion]:
        model, end = self._language(), end_id(self.tokenizer)
        self._check_lengths(tokens, most)
        said_NL, count_N, log_p_N = self.rows.over(
            lambda batch: greedy(model, batch, most, end, alike=self.rows.alike), tokens, more=most
        )
        found = []
        for row, count, log_p in zip(said_NL.tolist(), count_N.tolist(), log_p_N.tolist(), strict=True):
            tokens_L = tuple(row[:count])
            text = self.tokenizer.decode(tokens_L, skip_special_tokens=True).strip()
            found.append(Completion(text, tokens_L, log_p, tokens_L[-1:] == (end,)))
        return found

    def _evaluated(self) -> Reader:
        return self.reader.eval()

    def _language(self) -> LanguageModel:
        model = self._evaluated()
        if isinstance(model, LanguageModel):
            return model
        raise ConfigError(
            "a model with a head for classes is asked for words; ask the language model that it was made of, or"
            " finetune to task.format: choice or answer"
        )

    def _tokens(self, data: Dataset) -> Tokens:
        tokens = tokenise(data.prompted(self.recipe.prompt), self.tokenizer, self.cache)
        self._check_lengths(tokens)
        return tokens

    def _check_lengths(self, tokens: Tokens, more: int = 0) -> None:
        positions = self.reader.positions
        tokens.check_lengths(None if positions is None else positions - more, "this model")

    def _check_rows(self, data: Dataset) -> None:
        if data.kind is not self.reader.kind:
            raise DataError(
                f"this model was trained on rows of kind {self.reader.kind.name!r}, and {data.name} has rows of kind"
                f" {data.kind.name!r}"
            )
        if data.num_classes != len(self.classes):
            raise DataError(
                f"this model tells {len(self.classes)} classes apart ({', '.join(self.classes)}), the rows of"
                f" {data.name} have {data.num_classes}"
            )


def open_model(
    model_path: str,
    recipe: Recipe,
    resources: Resources,
    *,
    kind: Kind = GENERATION,
    classes: tuple[str, ...] = (),
    cache: Path | None = None,
) -> HuggingFaceModel:
    """A pretrained language model, for inference. It uses the recipe's `precision`, `prompt`, `answer_tokens` and
    `per_token`."""
    if not kind.by_words:
        raise ConfigError(
            f"a pretrained model is asked for the classes of rows of kind {kind}, for which it has no head;"
            " finetune it, or let it answer in words: task.format: choice or answer"
        )
    device = pick_device(resources)
    reader = build_reader(model_path, recipe, kind, len(classes), autocast(device, recipe.precision)).to(device)
    assert isinstance(reader, Answerer), "of rows that are answered by words"
    tokenizer = load_tokenizer(model_path)
    rows = OneDevice(pad_id(tokenizer), resources.tokens_at_once, device)
    return HuggingFaceModel(reader, tokenizer, recipe, classes, rows, cache)
