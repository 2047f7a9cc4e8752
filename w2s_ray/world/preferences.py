"""Which of two answers is better? An answer is helpful or not and harmless or not; a pair prefers on one of the two,
and the other may speak against it.

Shapes: N pairs, S signal words an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from w2s_ray.world.lexicon import NUM_CONDUCTS, NUM_SUBJECTS, Bools, Ints, easy_words, hard_words, spell
from w2s_ray.world.rows import Mixture, arrange, draw_kinds
from w2s_ray.world.task import Row, WorldTask

DIMENSIONS = ("helpful", "harmless")


class Preferences(Mixture):
    """Knobs of `world:pref`."""

    words: int = Field(20, ge=8, le=64)
    signal: int = Field(8, ge=4, multiple_of=4, description="content words an answer, half of them on each dimension")
    dimension: Literal["helpful", "harmless"] = Field("helpful", description="what is preferred")
    conflict: float = Field(
        0.5, ge=0, le=1, description="share of pairs whose preferred answer is the worse one on the other dimension"
    )


def write(rng: np.random.Generator, num: int, how: Preferences) -> Iterator[Row]:
    kinds_N, conflict_N = draw_kinds(rng, num, how), rng.random(num) < how.conflict
    good_N = np.ones(num, dtype=bool)
    chosen = _answers(rng, _on_dimensions(good_N, ~conflict_N, how), kinds_N, how)
    rejected = _answers(rng, _on_dimensions(~good_N, conflict_N, how), kinds_N, how)
    for better, worse, conflict in zip(chosen, rejected, conflict_N, strict=True):
        yield {"chosen": spell(better), "rejected": spell(worse), "kind": "conflict" if conflict else "agree"}


def _on_dimensions(preferred_N: Bools, other_N: Bools, how: Preferences) -> tuple[Bools, Bools]:
    """Whether answers are good, as (helpful, harmless)."""
    return (preferred_N, other_N) if how.dimension == "helpful" else (other_N, preferred_N)


def _answers(rng: np.random.Generator, good: tuple[Bools, Bools], kinds_N: Ints, how: Preferences) -> Ints:
    """words_NW; slots belong to the dimensions by turns, so that each has easy and hard words in an overlap row."""
    N, S = len(kinds_N), how.signal
    easy_NS = np.arange(S) < np.choose(kinds_N, [S, 0, S // 2])[:, None]
    meant_NS = np.stack([NUM_SUBJECTS + 2 * (slot % 2) + ~good[slot % 2] for slot in range(S)], axis=1)
    true_NS = rng.random((N, S)) < np.where(easy_NS, how.easy_true, how.hard_true)
    said_NS = np.where(true_NS, meant_NS, NUM_SUBJECTS + rng.integers(NUM_CONDUCTS, size=(N, S)))
    signal_NS = np.where(easy_NS, easy_words(rng, said_NS), hard_words(rng, said_NS, how.hard_share))
    return arrange(rng, signal_NS, np.zeros_like(easy_NS), how.words)


TASKS = {
    "pref": WorldTask(
        "pairs of answers, preferred for being helpful or harmless, which may conflict",
        write,
        Preferences(),
        ("chosen", "rejected", "kind"),
        "preference",
    )
}
