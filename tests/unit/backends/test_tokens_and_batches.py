"""The token cache, and which rows make which step."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_rows import shuffled, toy

from w2s_ray.backends.batch.order import PASS_COST_TOKENS, epoch_batches, id_hashes, micro_batches, num_batches
from w2s_ray.backends.batch.tokens import tokenise, tokenizer_digest
from w2s_ray.backends.models.load import load_tokenizer
from w2s_ray.backends.models.scratch import word_tokenizer
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError


def test_tokens_stand_in_the_order_of_ids_whatever_the_order_of_rows(llama: str, tmp_path: Path) -> None:
    data, _ = toy(30)
    tokenizer = load_tokenizer(llama)
    one, other, plain = (
        tokenise(data, tokenizer, tmp_path),
        tokenise(shuffled(data), tokenizer, tmp_path),
        tokenise(data, tokenizer),
    )
    assert len(list(tmp_path.iterdir())) == 2
    for tokens in (one, other, plain):
        assert tokens.ids.tolist() == sorted(data.ids.tolist())
        row = tokens.ids.tolist().index("r17")
        assert tokens.padded(np.array([row]), 0)[0].tolist() == tokenizer(data.inputs["text"][17])["input_ids"]


def test_the_cache_is_read_and_not_made_again(llama: str, tmp_path: Path) -> None:
    data, _ = toy(10)
    tokenizer = load_tokenizer(llama)
    tokenise(data, tokenizer, tmp_path)
    tokenise(data, Silent(tokenizer), tmp_path)
    with pytest.raises(AssertionError, match="tokenised again"):
        tokenise(toy(11)[0], Silent(tokenizer), tmp_path)


class Silent:
    """The tokenizer's identity without its work."""

    def __init__(self, tokenizer: Any) -> None:
        self.__class__ = type(type(tokenizer).__name__, (Silent,), {"__call__": _refuse})
        self.inner = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("tokenised again")


def test_another_tokenizer_has_another_digest() -> None:
    digests = {tokenizer_digest(word_tokenizer(words, 64)) for words in (["a", "b"], ["b", "a"], ["a", "b"])}
    assert len(digests) == 2


def test_writers_may_race(llama: str, tmp_path: Path) -> None:
    data, _ = toy(300)
    tokenizers = [load_tokenizer(llama) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda tokenizer: tokenise(data, tokenizer, tmp_path), tokenizers))
    assert all(
        np.array_equal(tokens.flat, found[0].flat) and np.array_equal(tokens.offsets, found[0].offsets)
        for tokens in found
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_a_row_without_tokens_is_named(llama: str) -> None:
    tokenizer = load_tokenizer(llama)
    tokenizer.backend_tokenizer.post_processor = None or type(tokenizer.backend_tokenizer.post_processor)(
        single="$A", pair="$A $B", special_tokens=[]
    )
    with pytest.raises(DataError, match="'empty'"):
        tokenise(Dataset.of("t", "x", "text", ("a", "b"), ["full", "empty"], text=["w1", " "]), tokenizer)
    pair = tokenise(Dataset.of("t", "x", "pair", ("a", "b"), ["1"], first=["w1"], second=["w2"]), tokenizer)
    assert pair.flat.tolist() == [4, 5]  # a line break is put between texts that the tokenizer would glue together


def batches_of(data_ids: list[str], lengths: dict[str, int], **kwargs: Any) -> list[list[str]]:
    ids = np.sort(np.array(data_ids))
    found = epoch_batches(id_hashes(ids), np.array([lengths[i] for i in ids]), **kwargs)
    return [ids[rows].tolist() for rows in found]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(1, 33), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_is_every_row_once_in_whole_batches(count: int, batch: int, bucket: int, epoch: int) -> None:
    ids = [f"i{k}" for k in range(count)]
    lengths = {i: 1 + hash_length(i) for i in ids}
    found = batches_of(ids, lengths, batch=batch, bucket=bucket, seed=0, epoch=epoch)
    assert sorted(i for rows in found for i in rows) == sorted(ids)
    assert len(found) == num_batches(count, batch)
    assert sorted(map(len, found))[1:] == [batch] * (len(found) - 1)
    assert found == batches_of(ids[::-1], lengths, batch=batch, bucket=bucket, seed=0, epoch=epoch)


def hash_length(name: str) -> int:
    return int(name[1:]) * 7919 % 40


def test_epochs_and_seeds_differ_and_buckets_sort() -> None:
    ids = [f"i{k}" for k in range(256)]
    lengths = {i: 1 + hash_length(i) for i in ids}
    options: dict[str, Any] = {"batch": 16, "bucket": 8, "seed": 0, "epoch": 0}
    orders = [batches_of(ids, lengths, **options | change) for change in ({}, {"epoch": 1}, {"seed": 1})]
    assert orders[0] != orders[1] != orders[2] != orders[0]

    def spread(found: list[list[str]]) -> float:
        return float(np.mean([max(lengths[i] for i in rows) - min(lengths[i] for i in rows) for rows in found]))

    assert spread(orders[0]) < 8 < 30 < spread(batches_of(ids, lengths, **options | {"bucket": 1}))
    means = [float(np.mean([lengths[i] for i in rows])) for rows in orders[0]]
    assert means != sorted(means)


def test_dropping_a_row_leaves_the_order_of_the_others() -> None:
    ids = [f"i{k}" for k in range(100)]
    same = dict.fromkeys(ids, 5)
    options: dict[str, Any] = {"batch": 1000, "bucket": 1, "seed": 0, "epoch": 0}
    everyone = batches_of(ids, same, **options)[0]
    assert batches_of([i for i in ids if i != "i50"], same, **options)[0] == [i for i in everyone if i != "i50"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 400))
def test_micro_batches_hold_the_budget_and_all_rows(lengths: list[int], budget: int) -> None:
    rows = np.arange(len(lengths))[::-1] + 3
    all_lengths = np.array([0, 0, 0, *lengths])
    parts = micro_batches(rows, all_lengths, budget)
    assert sorted(np.concatenate(parts).tolist()) == sorted(rows.tolist())
    assert all(len(part) * all_lengths[part].max() <= budget or len(part) == 1 for part in parts)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=9))
def test_micro_batches_are_the_cheapest_split(lengths: list[int]) -> None:
    array = np.sort(np.array(lengths))

    def cost(parts: list[Any]) -> int:
        return sum(len(part) * int(array[part].max()) + PASS_COST_TOKENS for part in parts)

    splits = [
        np.split(np.arange(len(array)), [i + 1 for i in range(len(array) - 1) if code >> i & 1])
        for code in range(2 ** (len(array) - 1))
    ]
    allowed = [
        parts for parts in splits if all(len(part) * array[part].max() <= 4096 or len(part) == 1 for part in parts)
    ]
    assert cost(micro_batches(np.arange(len(array)), array, 4096)) == min(map(cost, allowed))


def test_the_order_of_100000_rows_takes_no_time() -> None:
    ids = np.array([f"row-{k:06d}" for k in range(100_000)])
    lengths = np.random.default_rng(0).integers(5, 500, len(ids))
    started = time.process_time()
    epoch_batches(id_hashes(ids), lengths, batch=32, bucket=16, seed=0, epoch=0)
    assert time.process_time() - started < 2.0
