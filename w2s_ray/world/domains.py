"""Rows of several origins, which a method sees: `sources` differ in overlap density, `shift` has a home domain and
named shifts away from it.

Shapes: N rows, W words a row, D sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from w2s_ray.world.lexicon import FIRST_FUNCTION, FIRST_NAME, NUM_SUBJECTS, Ints, class_of, spell
from w2s_ray.world.rows import KINDS, Writing, draw_kinds, write_rows
from w2s_ray.world.task import Row, WorldTask

COLUMNS = ("text", "label", "kind", "source")
NAMED = {"slice": "kind", "source": "source"}

# The two rarest function words: in the first domain each goes with a class, for no reason.
CUES = np.array([FIRST_NAME - 2, FIRST_NAME - 1])
CUE_AT_HOME, CUE_ELSEWHERE, CUE_TURNED = 0.9, 0.5, 0.1
SKEW = 0.8  # share of the first class under a shift of the classes


class Sources(Writing):
    """Knobs of `world:sources`."""

    overlaps: tuple[float, ...] = Field(
        (0.0, 0.15, 0.35, 0.6),
        description="share of overlap rows in each source; the rest is easy and hard as elsewhere",
    )

    @field_validator("overlaps")
    @classmethod
    def _are_shares(cls, overlaps: tuple[float, ...]) -> tuple[float, ...]:
        if len(overlaps) < 2 or not all(0 <= overlap <= 1 for overlap in overlaps):
            raise ValueError(f"overlaps are two shares or more, each from 0 to 1, got {list(overlaps)}")
        return overlaps


class Shift(Writing):
    """Knobs of `world:shift`."""

    domain: Literal["home", "rare", "noisy", "long", "skew", "cue"] = Field(
        "home",
        description=(
            "where rows come from: home, where half of the hard words are used and a cue agrees with the class; or"
            " away: the other (rare) half, noisy easy words (easy_true 0.5), rows twice as long, skewed classes, with a"
            " cue that tells nothing; or a cue that turned round"
        ),
    )


def source_names(how: Sources) -> list[str]:
    """`source-0.35` is the source with 35 % overlap rows."""
    return [f"source-{overlap:g}" for overlap in how.overlaps]


def write_sources(rng: np.random.Generator, num: int, how: Sources) -> Iterator[Row]:
    easy, hard, _ = how.kinds
    hard_of_rest = hard / (easy + hard) if easy + hard else 0.5
    shares_DK = np.array(
        [((1 - overlap) * (1 - hard_of_rest), (1 - overlap) * hard_of_rest, overlap) for overlap in how.overlaps]
    )
    sources_N = rng.integers(len(how.overlaps), size=num)
    kinds_N = (rng.random((num, 1)) > shares_DK.cumsum(axis=1)[sources_N]).sum(axis=1).clip(max=len(KINDS) - 1)
    topics_N = rng.integers(NUM_SUBJECTS, size=num)
    names = source_names(how)
    yield from _rows(
        write_rows(rng, topics_N, kinds_N, how),
        class_of(topics_N, how.classes),
        kinds_N,
        [names[source] for source in sources_N],
    )


def write_shift(rng: np.random.Generator, num: int, how: Shift) -> Iterator[Row]:
    low, high = how.hard_share
    middle = (low + high) / 2
    by_domain: dict[str, dict[str, Any]] = {"noisy": {"easy_true": 0.5}, "long": {"words": 2 * how.words}}
    here = how.model_copy(
        update=by_domain.get(how.domain, {}) | {"hard_share": (middle, high) if how.domain == "rare" else (low, middle)}
    )
    topics_N, kinds_N = _topics(rng, num, how), draw_kinds(rng, num, here)
    classes_N = class_of(topics_N, how.classes)
    words_NW = _with_cues(
        rng,
        write_rows(rng, topics_N, kinds_N, here),
        classes_N,
        {"home": CUE_AT_HOME, "cue": CUE_TURNED}.get(how.domain, CUE_ELSEWHERE),
    )
    yield from _rows(words_NW, classes_N, kinds_N, [how.domain] * num)


def _topics(rng: np.random.Generator, num: int, how: Shift) -> Ints:
    if how.domain != "skew":
        return rng.integers(NUM_SUBJECTS, size=num)
    first = NUM_SUBJECTS // how.classes
    return np.where(rng.random(num) < SKEW, rng.integers(first, size=num), rng.integers(first, NUM_SUBJECTS, size=num))


def _with_cues(rng: np.random.Generator, words_NW: Ints, classes_N: Ints, agree: float) -> Ints:
    """One function word of each row becomes a cue: the one of its class (by turns, with more than two) with probability
    `agree`."""
    is_function_NW = (words_NW >= FIRST_FUNCTION) & (words_NW < FIRST_NAME)
    place_N = (is_function_NW * rng.random(words_NW.shape)).argmax(axis=1)
    cue_N = CUES[(classes_N + (rng.random(len(classes_N)) >= agree)) % 2]
    cued_NW = words_NW.copy()
    cued_NW[np.arange(len(words_NW)), place_N] = cue_N
    return cued_NW


def _rows(words_NW: Ints, classes_N: Ints, kinds_N: Ints, sources: list[str]) -> Iterator[Row]:
    for words, label, kind, source in zip(words_NW, classes_N.tolist(), kinds_N, sources, strict=True):
        yield {"text": spell(words), "label": label, "kind": KINDS[kind], "source": source}


TASKS = {
    "sources": WorldTask(
        "the rows of `topic` in four sources of different overlap density",
        write_sources,
        Sources(),
        COLUMNS,
        named=NAMED,
    ),
    "shift": WorldTask(
        "a home domain, and shifts of it: domain=rare, noisy, long, skew or cue",
        write_shift,
        Shift(),
        COLUMNS,
        named=NAMED,
    ),
}
