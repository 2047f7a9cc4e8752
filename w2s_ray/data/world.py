"""`world:topic`: generated rows whose answer a small untrained model learns badly and a model that knows the world's words learns well.

A row is about one of K latent topics; its label is the topic's class. Easy words tell the class and are often wrong, hard words tell the topic, are
often right and are so many that only pretraining can know them all; overlap rows hold both and connect the two. Words are spelled without meaning, so
that nothing but their company tells what they stand for.

Shapes: N rows, W words a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from w2s_ray.core.seeds import stream

VERSION = 1  # raise it when any row of any seed changes, or when `prepare` asks for another number of rows: it is the identity of the rows

SPECIALS = ("<pad>", "<unk>", "<bos>")
KINDS = ("easy", "hard", "overlap")

NUM_TOPICS, NUM_CLASSES = 16, 2
NUM_FUNCTION, NUM_EASY, NUM_HARD = 100, 8, 500  # function words; easy words a class; hard words a topic
FIRST_EASY = NUM_FUNCTION
FIRST_HARD = FIRST_EASY + NUM_CLASSES * NUM_EASY
NUM_WORDS = FIRST_HARD + NUM_TOPICS * NUM_HARD

BLOCK = 1024  # rows of one random stream: more rows never change the ones before

Ints = npt.NDArray[np.int64]
Row = dict[str, object]


@dataclass(frozen=True)
class RowRecipe:
    """How a row is written: its length, how much of it is signal, how often each kind occurs, and how often a signal word is true."""

    words: int = 16
    signal: int = 4
    kinds: tuple[float, float, float] = (0.30, 0.35, 0.35)
    easy_true: float = 0.75
    hard_true: float = 0.95


@cache
def vocabulary() -> tuple[str, ...]:
    """All words, the special ones first: the order is the token id of a word-level tokenizer."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    spellings = [first + second for first in syllables for second in syllables]
    order = stream(0, "world", "spelling").permutation(len(spellings))[:NUM_WORDS]
    return (*SPECIALS, *(spellings[i] for i in order))


def class_of(topics: Ints) -> Ints:
    """Neighbouring topics share a class."""
    return topics * NUM_CLASSES // NUM_TOPICS


def topic_rows(num_rows: int, seed: int, recipe: RowRecipe | None = None) -> Iterator[Row]:
    """rows made here: 16 latent topics in 2 classes, told by easy words, hard words or both

    The first `num_rows` of an endless stream, each with `text`, `label` and `kind`.
    """
    spelled = vocabulary()[len(SPECIALS) :]
    for first in range(0, num_rows, BLOCK):
        topics_N, kinds_N, words_NW = _block(stream(seed, "world", "topic", VERSION, first), recipe or RowRecipe())
        for topic, kind, words in list(zip(topics_N, kinds_N, words_NW, strict=True))[: num_rows - first]:
            yield {"text": " ".join(spelled[word] for word in words), "label": int(class_of(topic)), "kind": KINDS[kind]}


def _block(rng: np.random.Generator, recipe: RowRecipe) -> tuple[Ints, Ints, Ints]:
    """Topics, kinds and words of one block of rows."""
    shape = (BLOCK, recipe.signal)
    topics_N = rng.integers(NUM_TOPICS, size=BLOCK)
    kinds_N = rng.choice(len(KINDS), size=BLOCK, p=recipe.kinds)
    easy_slots_N = np.choose(kinds_N, [recipe.signal, 0, recipe.signal // 2])
    easy = np.arange(recipe.signal) < easy_slots_N[:, None]
    true = rng.random(shape) < np.where(easy, recipe.easy_true, recipe.hard_true)
    said = np.where(true, topics_N[:, None], rng.integers(NUM_TOPICS, size=shape))
    easy_words = FIRST_EASY + class_of(said) * NUM_EASY + rng.integers(NUM_EASY, size=shape)
    hard_words = FIRST_HARD + said * NUM_HARD + _zipf(rng, NUM_HARD, 0.3, shape)
    words_NW = _zipf(rng, NUM_FUNCTION, 1.0, (BLOCK, recipe.words))
    places = rng.permuted(np.tile(np.arange(recipe.words), (BLOCK, 1)), axis=1)[:, : recipe.signal]
    np.put_along_axis(words_NW, places, np.where(easy, easy_words, hard_words), axis=1)
    return topics_N, kinds_N, words_NW


def _zipf(rng: np.random.Generator, num_words: int, exponent: float, shape: tuple[int, ...]) -> Ints:
    """Words by rank r = 1, 2, …, with probability proportional to r^-exponent."""
    cumulative = np.cumsum(np.arange(1, num_words + 1) ** -exponent)
    return np.searchsorted(cumulative / cumulative[-1], rng.random(shape), side="right").astype(np.int64)
