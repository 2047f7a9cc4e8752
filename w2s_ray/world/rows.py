"""Rows about a topic: how sentences of the built-in world are put together.

A row is about one latent topic. Easy words tell the topic's field and are often wrong. Hard words tell the topic, are
often right, and are so many that only pretraining can know them all. Overlap rows hold both and connect the two.

Three forms need more and more grammar: in `plain` every signal word is about the topic; in `negation` every other hard
word is about a topic of another class and has "not" before it; in `contrast` such words stand before a "but". So in the
last two, counting hard words tells nothing.

Shapes: N rows, S signal words a row, W words a row.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from w2s_ray.core.frozen import Frozen
from w2s_ray.world.lexicon import (
    BUT,
    NOT,
    NUM_HARD,
    NUM_SUBJECTS,
    Bools,
    Floats,
    Ints,
    easy_words,
    function_words,
    hard_word_range,
    hard_words,
)

KINDS = ("easy", "hard", "overlap")
Form = Literal["plain", "negation", "contrast"]


class Mixture(Frozen):
    """What rows are mixed from: the knobs of every task."""

    words: int = Field(16, ge=8, le=64)
    signal: int = Field(4, ge=2, description="content words a row")
    hard: float = Field(0.35, ge=0, le=1, description="share of rows with hard words alone")
    overlap: float = Field(
        0.35, ge=0, le=1, description="share of rows with easy and hard words; the rest has easy words alone"
    )
    easy_true: float = Field(0.7, ge=0, le=1, description="how often an easy word is true")
    hard_true: float = Field(0.95, ge=0, le=1, description="how often a hard word is true")
    hard_share: tuple[float, float] = Field((0, 1), description="the part of each topic's hard words that is used")

    @model_validator(mode="after")
    def _fits(self) -> Mixture:
        if self.hard + self.overlap > 1 + 1e-9:
            raise ValueError(
                f"hard ({self.hard:g}) and overlap ({self.overlap:g}) are shares of the rows and sum to at most 1"
            )
        if self.signal * 2 > self.words:
            raise ValueError(
                f"signal is {self.signal}, which with its grammar takes {2 * self.signal} of the {self.words} words;"
                " raise words or lower signal"
            )
        low, high = self.hard_share
        if not 0 <= low <= high <= 1 or not hard_word_range(self.hard_share):
            raise ValueError(
                f"hard_share is from low to high within 0 and 1 and holds a word (of {NUM_HARD}) or more, got"
                f" {list(self.hard_share)}"
            )
        return self

    @property
    def kinds(self) -> tuple[float, float, float]:
        """Shares of easy, hard and overlap rows."""
        return max(0.0, 1 - self.hard - self.overlap), self.hard, self.overlap


class Writing(Mixture):
    """The knobs of a classification task."""

    form: Form = Field(
        "plain",
        description=(
            "what tells true words from false ones: nothing is false, the word after a not, the words before a but"
        ),
    )
    classes: Literal[2, 5, 10] = 2  # classes are made of whole fields

    @model_validator(mode="after")
    def _halves_are_even(self) -> Writing:
        if self.form != "plain" and self.signal % 4:
            raise ValueError(
                f"signal is {self.signal}; with form {self.form} it must be a multiple of 4, so that as many hard words"
                " speak for a row as against it"
            )
        return self


def draw_kinds(rng: np.random.Generator, num: int, how: Mixture) -> Ints:
    return rng.choice(len(KINDS), size=num, p=how.kinds)


def write_rows(rng: np.random.Generator, topics_N: Ints, kinds_N: Ints, how: Writing) -> Ints:
    """words_NW of rows about these topics."""
    signal_NS, denied_NS = signal_words(rng, topics_N, kinds_N, how)
    return arrange(rng, signal_NS, denied_NS, how.words, how.form)


def signal_words(rng: np.random.Generator, topics_N: Ints, kinds_N: Ints, how: Writing) -> tuple[Ints, Bools]:
    """The content words of each row, and which of them speak against its topic. The easy ones come first."""
    N, S = len(topics_N), how.signal
    easy_NS = np.arange(S) < np.choose(kinds_N, [S, 0, S // 2])[:, None]
    denied_NS = ~easy_NS & (np.cumsum(~easy_NS, axis=1) % 2 == 1) & (how.form != "plain")
    meant_NS = np.where(denied_NS, _of_another_class(rng, topics_N, how.classes)[:, None], topics_N[:, None])
    true_NS = rng.random((N, S)) < np.where(easy_NS, how.easy_true, how.hard_true)
    said_NS = np.where(true_NS, meant_NS, rng.integers(NUM_SUBJECTS, size=(N, S)))
    return np.where(easy_NS, easy_words(rng, said_NS), hard_words(rng, said_NS, how.hard_share)), denied_NS


def _of_another_class(rng: np.random.Generator, topics_N: Ints, num_classes: int) -> Ints:
    per_class = NUM_SUBJECTS // num_classes
    classes_N = (topics_N // per_class + rng.integers(1, num_classes, size=len(topics_N))) % num_classes
    return classes_N * per_class + rng.integers(per_class, size=len(topics_N))


def arrange(rng: np.random.Generator, signal_NS: Ints, denied_NS: Bools, words: int, form: Form = "plain") -> Ints:
    """Content words at random places among function words. Everything gets a place between 0 and 1; words that are not
    there get infinity."""
    (N, S), W = signal_NS.shape, words
    place_NS, fill_place_NW = rng.random((N, S)), rng.random((N, W))
    extra_NS, extra_place_NS = np.full((N, S), NOT), np.full((N, S), np.inf)
    if form == "negation":
        # Rows without a denied word deny function words instead, so that a "not" alone tells nothing.
        decoys_NS = (np.arange(S) < S // 2) & ~denied_NS.any(axis=1, keepdims=True)
        extra_place_NS = np.where(
            denied_NS, _just_before(place_NS), np.where(decoys_NS, _just_before(fill_place_NW[:, :S]), np.inf)
        )
    if form == "contrast":
        but_N1 = rng.uniform(0.35, 0.65, size=(N, 1))
        place_NS = np.where(denied_NS, place_NS * but_N1, but_N1 + place_NS * (1 - but_N1))
        extra_NS, extra_place_NS = np.full((N, 1), BUT), but_N1
    num_function_N1 = W - S - np.isfinite(extra_place_NS).sum(axis=1, keepdims=True)
    fill_place_NW = np.where(np.arange(W) < num_function_N1, fill_place_NW, np.inf)
    places = np.concatenate([place_NS, extra_place_NS, fill_place_NW], axis=1)
    there = np.concatenate([signal_NS, extra_NS, function_words(rng, (N, W))], axis=1)
    return np.take_along_axis(there, np.argsort(places, axis=1)[:, :W], axis=1)


def _just_before(places: Floats) -> Floats:
    return np.nextafter(places, 0)
