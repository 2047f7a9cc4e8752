"""The corpus: what a model reads before any task holds no row of any task, and is what it is said to be."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from world_reading import DICTIONARY, INDEX, Word, near, of_sort, read, rows

from w2s_ray.world.corpus import documents
from w2s_ray.world.examine import HELD_OUT_DOCUMENTS, HELD_OUT_SEED
from w2s_ray.world.ladder import BATCH, CORPUS_SEED, LADDER
from w2s_ray.world.lexicon import ASK, BUT, FIRST_NAME, NO, NOT, YES
from w2s_ray.world.tasks import TASKS

UInts = npt.NDArray[np.uint64]


@cache
def corpus() -> list[str]:
    """All that the largest model reads, and what it is examined on."""
    return [
        *documents(max(rung.steps for rung in LADDER.values()) * BATCH, CORPUS_SEED),
        *documents(HELD_OUT_DOCUMENTS, HELD_OUT_SEED),
    ]


def numbers(text: str) -> UInts:
    return np.array([INDEX[word] + 1 for word in text.split()], dtype=np.uint64)


def hashes(words_NW: UInts) -> UInts:
    """A polynomial over the words, modulo 2 ** 64."""
    powers_W = np.cumprod(np.full(words_NW.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64))
    return (words_NW * powers_W).sum(axis=1, dtype=np.uint64)


@cache
def windows(length: int) -> frozenset[int]:
    """Hashes of every run of so many words in the corpus."""
    found: set[int] = set()
    by_length: dict[int, list[UInts]] = {}
    for text in corpus():
        ids = numbers(text)
        by_length.setdefault(len(ids), []).append(ids)
    for size, texts in by_length.items():
        if size >= length:
            views = np.lib.stride_tricks.sliding_window_view(np.stack(texts), length, axis=1)
            for start in range(views.shape[1]):
                found.update(hashes(np.ascontiguousarray(views[:, start])).tolist())
    return frozenset(found)


def test_the_search_would_find_a_row() -> None:
    words = corpus()[4].split()
    assert hashes(numbers(" ".join(words[3:19]))[None])[0].item() in windows(16)
    assert hashes(numbers(" ".join([*words[3:18], "not"]))[None])[0].item() not in windows(16)


@pytest.mark.parametrize(
    "name", [*TASKS, *(f"shift?domain={domain}" for domain in ("rare", "noisy", "long", "skew", "cue"))]
)
def test_no_row_of_any_task_stands_in_the_corpus(name: str) -> None:
    """2,000 labelled, 2,000 pool and 2,000 test rows, as the default sizes are, and more; a row's texts are looked for
    one by one."""
    for seed in (0, 1, 2):
        texts = [
            text
            for row in rows(name, 6500, seed)
            for column in ("text", "question", "chosen", "rejected")
            if (text := row.get(column))
        ]
        if name == "debate":  # where its passage is not, it is not
            texts = [text.removeprefix("Q: ").partition(" A:")[0] for text in texts]
        assert len(set(texts)) >= 6500
        words_NW = np.stack([numbers(text) for text in texts])
        assert windows(words_NW.shape[1]).isdisjoint(hashes(words_NW).tolist())


def test_documents_are_a_stream_and_no_two_seeds_share_one() -> None:
    many = list(documents(1300, 3))
    for num in (1, 511, 512, 513):
        assert list(documents(num, 3)) == many[:num]
    assert len(set(many)) == 1300
    assert not set(documents(1300, 4)) & set(many)
    assert list(documents(0, 3)) == []


def test_what_the_models_are_examined_on_is_not_what_they_read() -> None:
    assert CORPUS_SEED != HELD_OUT_SEED
    assert not set(corpus()[:-HELD_OUT_DOCUMENTS]) & set(corpus()[-HELD_OUT_DOCUMENTS:])


def sort_of(words: list[Word]) -> str:
    grammar = {word.number for word in of_sort(words, "grammar")}
    return "question" if ASK in grammar else "contrast" if BUT in grammar else "negation" if NOT in grammar else "plain"


def test_documents_of_each_sort_are_as_frequent_as_stated() -> None:
    counts = Counter(sort_of(read(text)) for text in corpus())
    for sort, share in {"plain": 0.4, "negation": 0.2, "contrast": 0.2, "question": 0.2}.items():
        assert near(counts[sort], len(corpus()), share), sort


def test_the_sentences_of_a_document_are_about_one_topic() -> None:
    """By what the hard words of each of its sentences say most."""
    agree = topics = 0
    about: Counter[int] = Counter()
    for text in corpus()[:4000]:
        words = read(text)
        if sort_of(words) == "plain":
            assert len(words) == 64
            said = [Counter(word.topics[0] for word in of_sort(words[i : i + 16], "hard")) for i in range(0, 64, 16)]
            most = [counts.most_common(1)[0][0] for counts in said if counts]
            if most:  # all four sentences may have easy words alone
                agree, topics = agree + most.count(Counter(most).most_common(1)[0][0]), topics + len(most)
                about[most[0]] += 1
    assert agree > 0.99 * topics > 0
    assert set(about) == set(range(24)), "conducts too are read about"


def test_questions_are_answered_by_names_that_are_often_right_and_verdicts_that_are_nearly_always() -> None:
    named, verdicts, total = 0, 0, 0
    for text in corpus():
        words = read(text)
        if sort_of(words) != "question":
            continue
        assert len(words) == 3 * (1 + 17 + 3)
        for start in range(0, len(words), 21):
            ask, *passage, answer, name, verdict = words[start : start + 21]
            assert ask.number == ASK
            assert (answer.sort, name.sort) == ("grammar", "name")
            hard = Counter(word.topics[0] for word in of_sort(passage, "hard"))
            if hard.total() < 6:  # too little to be sure of the topic
                continue
            right = name.number - FIRST_NAME == hard.most_common(1)[0][0]
            named, total = named + right, total + 1
            verdicts += verdict.number == (YES if right else NO)
            assert verdict.number in (YES, NO)
    assert near(named, total, 0.7 + 0.3 / 20)
    assert near(verdicts, total, 0.97)


def test_documents_are_dense_in_content() -> None:
    """Without that nothing is learned in minutes."""
    words = [word for text in corpus()[:2000] if sort_of(read(text)) == "plain" for word in read(text)]
    assert sum(bool(word.topics) for word in words) == 12 / 16 * len(words)
    hard = {word.number for text in corpus() for word in of_sort(read(text), "hard")}
    assert len(hard) == sum(word.sort == "hard" for word in DICTIONARY), "every word is read at least once"
