"""What the ladder's models read before any task: documents of the world's language, denser in content words and truer
than task rows are.

In most documents all sentences are about one topic, which is how a model learns what goes together. Others use "not"
and "but" as the tasks do, and some ask after a passage, answer with its topic's name, and say whether that was right.

Density is what makes this learnable in minutes: with 8 of 16 words of content, true 4 times in 5, a model stays at
chance for hundreds of steps.

Shapes: N documents, P parts of a document, W words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from w2s_ray.core.dataset import Dataset
from w2s_ray.core.ids import content_id
from w2s_ray.core.seeds import stream
from w2s_ray.world.lexicon import ANSWER, ASK, FIRST_NAME, NO, NUM_SUBJECTS, NUM_TOPICS, STOP, YES, Ints, spell
from w2s_ray.world.rows import Form, Writing, draw_kinds, write_rows

VERSION = 2
BLOCK = 512  # documents of one random stream: more documents never change the ones before

HOW = Writing(hard=0.3, overlap=0.5, classes=10, easy_true=0.95, hard_true=0.97)
NAMED_RIGHT = 0.7  # how often the answer to a question is the right name; else it is any
VERDICT_TRUE = 0.97


def documents(num: int, seed: int) -> Iterator[str]:
    """The first `num` texts of an endless stream."""
    for first in range(0, num, BLOCK):
        rng = stream(seed, "world", "corpus", VERSION, first)
        types_N = rng.choice(len(WRITERS), size=BLOCK, p=[share for share, _ in WRITERS])
        written = [write(rng, BLOCK) for _, write in WRITERS]
        yield from (spell(written[kind][i]) for i, kind in enumerate(types_N[: num - first]))


def corpus(num: int, seed: int) -> Dataset:
    """Documents as rows; the few that occur twice count once."""
    texts = list(dict.fromkeys(documents(num, seed)))
    return Dataset.of("world", "corpus", "generation", (), [content_id(text) for text in texts], prompt=texts)


def _about_one(rng: np.random.Generator, num: int, form: Form, num_topics: int, signal: int) -> Ints:
    """Four sentences about one topic."""
    topics_NP = np.repeat(rng.integers(num_topics, size=(num, 1)), 4, axis=1)
    return _sentences(rng, topics_NP, form, 16, signal).reshape(num, -1)


def _contrasts(rng: np.random.Generator, num: int) -> Ints:
    """Three sentences, each about a topic of its own after its "but"."""
    words_NPW = _sentences(rng, rng.integers(NUM_SUBJECTS, size=(num, 3)), "contrast", 20, 14)
    return _joined(words_NPW, np.full((num, 3, 1), STOP))


def _questions(rng: np.random.Generator, num: int) -> Ints:
    """Three passages, each with a question, a name and whether that was right."""
    topics_NP = rng.integers(NUM_SUBJECTS, size=(num, 3))
    passages_NPW = _sentences(rng, topics_NP, "plain", 17, 13)
    named_NP = np.where(rng.random((num, 3)) < NAMED_RIGHT, topics_NP, rng.integers(NUM_SUBJECTS, size=(num, 3)))
    said_right_NP = (named_NP == topics_NP) == (rng.random((num, 3)) < VERDICT_TRUE)
    parts = (np.full_like(named_NP, ANSWER), FIRST_NAME + named_NP, np.where(said_right_NP, YES, NO))
    return _joined(np.full((num, 3, 1), ASK), passages_NPW, np.stack(parts, axis=2))


def _sentences(rng: np.random.Generator, topics_NP: Ints, form: Form, words: int, signal: int) -> Ints:
    how = HOW.model_copy(update={"form": form, "words": words, "signal": signal})
    topics = topics_NP.reshape(-1)
    return write_rows(rng, topics, draw_kinds(rng, len(topics), how), how).reshape(*topics_NP.shape, words)


def _joined(*parts_NPW: Ints) -> Ints:
    return np.concatenate(parts_NPW, axis=2).reshape(len(parts_NPW[0]), -1)


WRITERS: tuple[tuple[float, Callable[[np.random.Generator, int], Ints]], ...] = (
    (0.40, partial(_about_one, form="plain", num_topics=NUM_TOPICS, signal=12)),
    (0.20, partial(_about_one, form="negation", num_topics=NUM_SUBJECTS, signal=8)),
    (0.20, _contrasts),
    (0.20, _questions),
)
