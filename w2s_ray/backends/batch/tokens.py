"""Rows as token ids: made once for a dataset and a tokenizer, then read from a memory-mapped cache.

A row is one sequence of tokens, or several that are read apart: the two texts of a preference, the candidates of a
choice.

Shapes: N rows in the order of their ids, Q sequences (those of the first row, those of the second, …), B rows of a
batch, T tokens.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError, ModelError
from w2s_ray.core.ids import Ids, as_ids, content_digest
from w2s_ray.core.kinds import CHOICE, PAIR

Int64s = npt.NDArray[np.int64]

FORMAT = 2  # of the cached files and of how a row becomes tokens; raise it when either changes
_CHUNK_ROWS = 8192
MOST_UNSAYABLE = 0.05  # share of answers that may be too long; another tokenizer may need a token more for some


@dataclass(frozen=True)
class Tokens:
    """Token ids of all sequences, one after another. `second_Q` is where the second text of a pair or an answer starts;
    without one it is the sequence's length."""

    ids: Ids
    flat: npt.NDArray[np.int32]
    offsets: Int64s
    second_Q: Int64s
    per_row: int = 1

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths_Q(self) -> Int64s:
        return np.diff(self.offsets)

    @cached_property
    def lengths_N(self) -> Int64s:
        """The tokens of each row when its sequences are padded to the longest of them."""
        padded_N: Int64s = self.per_row * self.lengths_Q.reshape(-1, self.per_row).max(axis=1)
        return padded_N

    @cached_property
    def real_N(self) -> Int64s:
        """Tokens of each row."""
        real_N: Int64s = self.lengths_Q.reshape(-1, self.per_row).sum(axis=1)
        return real_N

    @property
    def answer_share(self) -> float:
        """The share of a batch's positions at which a next token is predicted, at most: from the first answer's start
        to the last one's end."""
        longest = int(self.lengths_Q.max(initial=1))
        return (longest - int(self.second_Q.min(initial=longest))) / longest

    def sequences(self, rows: Int64s) -> Int64s:
        """The indices of the sequences of these rows."""
        return (rows[:, None] * self.per_row + np.arange(self.per_row)).ravel()

    def padded(self, sequences: Int64s, fill: int) -> Int64s:
        """ids_QT of these sequences, padded on the right to the longest."""
        lengths = self.lengths_Q[sequences]
        ids_QT = np.full((len(sequences), int(lengths.max())), fill, dtype=np.int64)
        for out, start, length in zip(ids_QT, self.offsets[sequences].tolist(), lengths.tolist(), strict=True):
            out[:length] = self.flat[start : start + length]
        return ids_QT

    def check_lengths(self, limit: int | None, model: str) -> None:
        """Refuse what the model cannot read. Cutting here would give weak and strong models different rows."""
        if limit is None or not len(self):
            return
        longest = int(self.lengths_Q.argmax())
        if self.lengths_Q[longest] > limit:
            count = int((self.lengths_Q.reshape(-1, self.per_row).max(axis=1) > limit).sum())
            raise DataError(
                f"{count} rows are longer than the {limit} tokens that {model} reads; the longest is id"
                f" {str(self.ids[longest // self.per_row])!r} with {self.lengths_Q[longest]} tokens: set task.max_words"
                f" (about {limit // 2} is safe for English), which cuts the rows alike for all models"
            )

    def check_answers(self, most: int) -> None:
        """Refuse labels of which more than a few are longer than a model may generate, whatever it learns."""
        said_Q = self.lengths_Q - self.second_Q
        long = said_Q > most + 1  # the end token need not be generated
        if long.sum() > MOST_UNSAYABLE * (said_Q > 0).sum():
            raise ConfigError(
                f"{long.sum()} of {(said_Q > 0).sum()} answers are longer than train.*.answer_tokens, which is {most},"
                f" so they could never be said; the longest has {said_Q.max() - 1} tokens: set train.weak.answer_tokens"
                f" and train.strong.answer_tokens to {said_Q.max() - 1}"
            )


def tokenise(data: Dataset, tokenizer: Any, cache: Path | None = None) -> Tokens:
    """Tokens of the dataset, in the order of the ids; for generation, of its prompts. Writers may race: they write the
    same bytes and replace whole files."""
    data.check_any()
    order = np.argsort(data.ids, kind="stable")
    ids, per_row = data.ids[order], data.kind.num_sequences(data.num_classes)
    if cache is None:
        return _tokens(ids, *_encode(data, tokenizer, order), per_row)
    stem = content_digest([str(FORMAT), data.digest, tokenizer_digest(tokenizer)])[:32]
    flat_path, index_path = cache / f"{stem}.tokens.npy", cache / f"{stem}.index.npy"
    if not (flat_path.is_file() and index_path.is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        flat, index = _encode(data, tokenizer, order)
        _write(index_path, index)
        _write(flat_path, flat)
    return _tokens(
        ids,
        np.load(flat_path, mmap_mode="r", allow_pickle=False),
        np.load(index_path, mmap_mode="r", allow_pickle=False),
        per_row,
    )


def tokenise_answered(data: Dataset, teachers: Sequence[Answers], tokenizer: Any) -> Tokens:
    """Prompts with each teacher's answer and, where it is complete, the token that ends it, so that a student learns to
    stop; where a teacher abstains, the prompt alone."""
    data.check_any()
    order = np.argsort(data.ids, kind="stable")
    ids, end = data.ids[order], end_id(tokenizer)
    said = [teacher.align(ids) for teacher in teachers]
    prompts = [text for text in data.inputs["prompt"][order] for _ in said]
    answers = [str(answers.texts_N[n]) if answers.mask_N[n] else "" for n in range(len(ids)) for answers in said]
    rows, second = continued(prompts, answers, tokenizer)
    ended = [bool(answers.mask_N[n] and answers.ended_N[n]) for n in range(len(ids)) for answers in said]
    rows = [np.append(row, end).astype(np.int32) if over else row for row, over in zip(rows, ended, strict=True)]
    return _tokens(ids, *_flat(rows, second), len(said))


def tokens_of_texts(texts: Sequence[str], tokenizer: Any) -> Tokens:
    """Texts without ids, in their order."""
    rows = _ids(texts, tokenizer)
    return _tokens(_places(len(texts)), *_flat(rows, [len(row) for row in rows]), 1)


def tokens_continued(prompts: Sequence[str], continuations: Sequence[Sequence[str]], tokenizer: Any) -> Tokens:
    """Each prompt with each of its continuations; `second_Q` is where these start."""
    num = len(continuations[0])
    flat = [str(text) for row in continuations for text in row]
    rows, starts = continued([prompt for prompt in prompts for _ in range(num)], flat, tokenizer)
    return _tokens(_places(len(prompts)), *_flat(rows, starts), num)


def _places(count: int) -> Ids:
    """Ids that sort in the order of the texts that they are for."""
    return as_ids([f"{place:09d}" for place in range(count)])


def tokenise_texts(data: Dataset, tokenizer: Any, cache: Path | None) -> Tokens:
    """Prompts as targets of language modelling: all but their first token are predicted."""
    tokens = tokenise(data, tokenizer, cache)
    return replace(tokens, second_Q=np.minimum(1, tokens.lengths_Q))


def end_id(tokenizer: Any) -> int:
    """The token that ends an answer: the tokenizer's end token, or where it has none its beginning token."""
    for candidate in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        if candidate is not None:
            return int(candidate)
    raise ModelError(
        "the tokenizer has neither a token for the end of a text nor one for its beginning, so an answer has no end;"
        " use another model"
    )


def continued(
    prompts: Sequence[str], answers: Sequence[str], tokenizer: Any
) -> tuple[list[npt.NDArray[np.int32]], list[int]]:
    """Tokens of each prompt with its answer, and where the answer starts. Tokens may merge at the boundary, so it
    starts where the prompt's own tokens end or first differ."""
    whole = _ids(
        [f"{prompt} {answer}" if answer else prompt for prompt, answer in zip(prompts, answers, strict=True)], tokenizer
    )
    distinct = list(dict.fromkeys(prompts))
    alone = dict(zip(distinct, _ids(distinct, tokenizer), strict=True))
    starts = [_common(row, alone[prompt]) for row, prompt in zip(whole, prompts, strict=True)]
    for row, start, prompt, answer in zip(whole, starts, prompts, answers, strict=True):
        if answer and start >= len(row):
            raise DataError(
                f"the answer {answer[:40]!r} adds no token to the prompt that ends with {prompt[-40:]!r}; mend or drop"
                " the row"
            )
    return whole, starts


def _common(one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> int:
    """Length of the longest common beginning."""
    both = min(len(one), len(other))
    differ = np.flatnonzero(one[:both] != other[:both])
    return int(differ[0]) if len(differ) else both


def _ids(texts: Sequence[str], tokenizer: Any) -> list[npt.NDArray[np.int32]]:
    rows: list[npt.NDArray[np.int32]] = []
    for start in range(0, len(texts), _CHUNK_ROWS):
        chunk = list(texts[start : start + _CHUNK_ROWS])
        encoded = tokenizer(
            chunk,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        rows += [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"]]
    return rows


def tokenizer_digest(tokenizer: Any) -> str:
    """sha256 of all that decides how text becomes ids."""
    if getattr(tokenizer, "is_fast", False):
        rules = tokenizer.backend_tokenizer.to_str()
    else:
        rules = "\x1f".join(f"{token}\x1e{index}" for token, index in sorted(tokenizer.get_vocab().items()))
    return content_digest(
        [type(tokenizer).__name__, rules, repr(sorted(tokenizer.special_tokens_map.items(), key=str))]
    )


def _encode(data: Dataset, tokenizer: Any, order: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.int32], Int64s]:
    columns = {column: texts[order].tolist() for column, texts in data.inputs.items()}
    if data.kind is PAIR:
        return _flat(*_pairs(columns["first"], columns["second"], tokenizer))
    if data.kind is CHOICE:
        offered = [json.loads(choices) for choices in columns["choices"]]
        prompts = [prompt for prompt, choices in zip(columns["prompt"], offered, strict=True) for _ in choices]
        return _flat(*continued(prompts, [choice for choices in offered for choice in choices], tokenizer))
    texts = [text for row in zip(*(columns[column] for column in data.kind.columns), strict=True) for text in row]
    rows = _ids(texts, tokenizer)
    return _flat(rows, [len(row) for row in rows])


def _pairs(first: list[str], second: list[str], tokenizer: Any) -> tuple[list[npt.NDArray[np.int32]], list[int]]:
    """Two texts as one sequence, and where the second begins, where the tokenizer says so."""
    if tokenizer.num_special_tokens_to_add(pair=True) == tokenizer.num_special_tokens_to_add(pair=False):
        first = [f"{text}\n" for text in first]  # this tokenizer puts nothing between the texts of a pair
    rows: list[npt.NDArray[np.int32]] = []
    starts: list[int] = []
    for start in range(0, len(first), _CHUNK_ROWS):
        chunk = first[start : start + _CHUNK_ROWS], second[start : start + _CHUNK_ROWS]
        encoded = tokenizer(
            *chunk,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=True,
            verbose=False,
        )
        rows += [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"]]
        types = encoded.get("token_type_ids") or [[]] * len(chunk[0])
        starts += [t.index(1) if 1 in t else len(row) for t, row in zip(types, rows[start:], strict=True)]
    return rows, starts


def _flat(rows: Sequence[npt.NDArray[np.int32]], second: Sequence[int]) -> tuple[npt.NDArray[np.int32], Int64s]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    return flat, np.stack([offsets, np.array([*second, 0], dtype=np.int64)])


def _tokens(ids: Ids, flat: npt.NDArray[np.int32], index: Int64s, per_row: int) -> Tokens:
    offsets, second_Q = np.asarray(index[0]), np.asarray(index[1][:-1])
    if len(offsets) != per_row * len(ids) + 1 or offsets[-1] != len(flat):
        raise DataError(
            f"the token cache holds {len(offsets) - 1} sequences and {len(flat)} tokens where {per_row * len(ids)}"
            f" sequences and {offsets[-1]} tokens belong; delete the cache folder"
        )
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise DataError(
            f"{len(empty)} rows have no tokens, the first is id {str(ids[empty[0] // per_row])!r}; drop empty texts"
            " from the source"
        )
    return Tokens(ids, flat, offsets, second_Q, per_row)


def _write(path: Path, array: npt.NDArray[Any]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
