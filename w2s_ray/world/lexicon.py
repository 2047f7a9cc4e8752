"""The words of the built-in world: what there is, what each stands for, and how often it is said.

Content words are spelled without meaning, so that nothing but their company tells what they stand for. Easy words are
few and name a *field* of topics; hard words are many and name one topic each. Grammar words are English for the
reader's sake; a model knows them by their company too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from w2s_ray.core.seeds import stream

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GRAMMAR = (".", "not", "but", "Q:", "A:", "yes", "no", "says", "so")
STOP, NOT, BUT, ASK, ANSWER, YES, NO, SAYS, SO = range(len(GRAMMAR))

NUM_SUBJECTS = 20  # topics that rows are about: ten fields of two
NUM_CONDUCTS = 4  # topics that say how an answer is: helpful, unhelpful, harmless, harmful; each a field of its own
NUM_TOPICS = NUM_SUBJECTS + NUM_CONDUCTS
NUM_FIELDS = NUM_SUBJECTS // 2 + NUM_CONDUCTS

NUM_FUNCTION, NUM_EASY, NUM_HARD = 100, 4, 330  # function words; easy words a field; hard words a topic
FIRST_FUNCTION = len(GRAMMAR)
FIRST_NAME = FIRST_FUNCTION + NUM_FUNCTION  # each subject has one
FIRST_EASY = FIRST_NAME + NUM_SUBJECTS
FIRST_HARD = FIRST_EASY + NUM_FIELDS * NUM_EASY
NUM_WORDS = FIRST_HARD + NUM_TOPICS * NUM_HARD


@cache
def vocabulary() -> tuple[str, ...]:
    """All words, by number: grammar, function words, names (of three syllables, like no other word), easy words, hard
    words."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    spellings = [first + second for first in syllables for second in syllables]
    shuffled = [spellings[i] for i in stream(0, "world", "spelling").permutation(len(spellings))]
    names = [syllables[i] + syllables[i + 1] + syllables[i + 2] for i in range(0, 5 * NUM_SUBJECTS, 5)]
    return (
        *GRAMMAR,
        *shuffled[:NUM_FUNCTION],
        *names,
        *shuffled[NUM_FUNCTION : NUM_WORDS - FIRST_NAME - NUM_SUBJECTS + NUM_FUNCTION],
    )


def spell(words: Ints) -> str:
    """Numbers as a text."""
    known = vocabulary()
    return " ".join([known[word] for word in words.tolist()])


def field_of(topics: Ints) -> Ints:
    """The field whose easy words are said of a topic."""
    return np.where(topics < NUM_SUBJECTS, topics // 2, topics - NUM_SUBJECTS // 2)


def class_of(topics: Ints, num_classes: int) -> Ints:
    """Neighbouring subjects share a class."""
    return topics * num_classes // NUM_SUBJECTS


def function_words(rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
    """Words that go with every topic alike, the one of rank r with probability proportional to 1 / r."""
    cumulative = np.cumsum(1 / np.arange(1, NUM_FUNCTION + 1))
    return FIRST_FUNCTION + np.searchsorted(cumulative / cumulative[-1], rng.random(shape), side="right")


def easy_words(rng: np.random.Generator, topics: Ints) -> Ints:
    """A word of the topic's field."""
    return FIRST_EASY + field_of(topics) * NUM_EASY + rng.integers(NUM_EASY, size=topics.shape)


def hard_words(rng: np.random.Generator, topics: Ints, share: tuple[float, float] = (0, 1)) -> Ints:
    """A word of the topic, each as likely as any other; `share` is the part of the topic's words that may be said."""
    ranks = hard_word_range(share)
    return FIRST_HARD + topics * NUM_HARD + rng.integers(ranks.start, ranks.stop, size=topics.shape)


def hard_word_range(share: tuple[float, float]) -> range:
    """The ranks of a topic's hard words in a part of them."""
    low, high = (round(part * NUM_HARD) for part in share)
    return range(low, high)
