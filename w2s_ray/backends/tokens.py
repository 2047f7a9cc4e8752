"""Rows as token ids: made once for a dataset and a tokenizer, then read from a memory-mapped cache.

Shapes: N rows in the order of their ids, B rows of a batch, T tokens.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, content_digest

Int64s = npt.NDArray[np.int64]

FORMAT = 1  # of the cached files and of how a row becomes tokens; raise it when either changes
_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Tokens:
    """Token ids of all rows, one after another. `second_N` is where the second text of a pair starts; without one it is the row's length."""

    ids: Ids
    flat: npt.NDArray[np.int32]
    offsets: Int64s
    second_N: Int64s

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def lengths_N(self) -> Int64s:
        return np.diff(self.offsets)

    def padded(self, rows: Int64s, fill: int) -> Int64s:
        """ids_BT of these rows, padded on the right to the longest."""
        lengths = self.lengths_N[rows]
        ids_BT = np.full((len(rows), int(lengths.max())), fill, dtype=np.int64)
        for out, start, length in zip(ids_BT, self.offsets[rows].tolist(), lengths.tolist(), strict=True):
            out[:length] = self.flat[start : start + length]
        return ids_BT

    def check_lengths(self, limit: int | None, model: str) -> None:
        """Refuse what the model cannot read. Cutting here would give weak and strong models different rows."""
        if limit is None or not len(self):
            return
        longest = int(self.lengths_N.argmax())
        if self.lengths_N[longest] > limit:
            count = int((self.lengths_N > limit).sum())
            raise DataError(
                f"{count} rows are longer than the {limit} tokens that {model} reads; the longest is id {str(self.ids[longest])!r} with {self.lengths_N[longest]} tokens: "
                f"set task.max_words (about {limit // 2} is safe for English), which cuts the rows alike for all models"
            )


def tokenise(data: Dataset, tokenizer: Any, cache: Path | None = None) -> Tokens:
    """Tokens of the dataset, in the order of the ids. Writers may race: they write the same bytes and replace whole files."""
    order = np.argsort(data.ids, kind="stable")
    ids = data.ids[order]
    if cache is None:
        return _tokens(ids, *_encode(data, tokenizer, order))
    stem = content_digest([str(FORMAT), data.digest, tokenizer_digest(tokenizer)])[:32]
    flat_path, index_path = cache / f"{stem}.tokens.npy", cache / f"{stem}.index.npy"
    if not (flat_path.is_file() and index_path.is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        flat, index = _encode(data, tokenizer, order)
        _write(index_path, index)
        _write(flat_path, flat)
    return _tokens(ids, np.load(flat_path, mmap_mode="r", allow_pickle=False), np.load(index_path, mmap_mode="r", allow_pickle=False))


def tokenizer_digest(tokenizer: Any) -> str:
    """sha256 of all that decides how text becomes ids."""
    if getattr(tokenizer, "is_fast", False):
        rules = tokenizer.backend_tokenizer.to_str()
    else:
        rules = "\x1f".join(f"{token}\x1e{index}" for token, index in sorted(tokenizer.get_vocab().items()))
    return content_digest([type(tokenizer).__name__, rules, repr(sorted(tokenizer.special_tokens_map.items(), key=str))])


def _encode(data: Dataset, tokenizer: Any, order: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.int32], Int64s]:
    columns = (
        [column[order].tolist() for column in data.inputs.values()]
        if data.kind == "text"
        else [data.inputs["first"][order].tolist(), data.inputs["second"][order].tolist()]
    )
    if len(columns) == 2 and tokenizer.num_special_tokens_to_add(pair=True) == tokenizer.num_special_tokens_to_add(pair=False):
        columns[0] = [f"{text}\n" for text in columns[0]]  # this tokenizer puts nothing between the texts of a pair
    rows: list[npt.NDArray[np.int32]] = []
    second: list[int] = []
    for start in range(0, len(order), _CHUNK_ROWS):
        chunk = [column[start : start + _CHUNK_ROWS] for column in columns]
        encoded = tokenizer(*chunk, padding=False, truncation=False, return_attention_mask=False, return_token_type_ids=len(columns) == 2, verbose=False)
        rows += [np.asarray(row, dtype=np.int32) for row in encoded["input_ids"]]
        types = encoded.get("token_type_ids") or [[]] * len(chunk[0])
        second += [t.index(1) if 1 in t else len(row) for t, row in zip(types, rows[start:], strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    return flat, np.stack([offsets, np.array([*second, 0], dtype=np.int64)])


def _tokens(ids: Ids, flat: npt.NDArray[np.int32], index: Int64s) -> Tokens:
    offsets, second_N = np.asarray(index[0]), np.asarray(index[1][:-1])
    if len(offsets) != len(ids) + 1 or offsets[-1] != len(flat):
        raise DataError(
            f"the token cache holds {len(offsets) - 1} rows and {len(flat)} tokens where {len(ids)} rows and {offsets[-1]} tokens belong; delete the cache folder"
        )
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise DataError(f"{len(empty)} rows have no tokens, the first is id {str(ids[empty[0]])!r}; drop empty texts from the source")
    return Tokens(ids, flat, offsets, second_N)


def _write(path: Path, array: npt.NDArray[Any]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
