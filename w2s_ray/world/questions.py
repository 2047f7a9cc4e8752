"""What is this passage about? Questions whose answer is a topic's name (`qa`), and two arguments that a reader can
check (`debate`).

An argument quotes the words of the passage that speak for its answer. Who does not know the words can still see how
many there are, and, where a debater lies, that a quoted word is not in the passage.

Shapes: N rows, S signal words a row, C choices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from w2s_ray.world.lexicon import (
    FIRST_EASY,
    FIRST_HARD,
    FIRST_NAME,
    NUM_EASY,
    NUM_HARD,
    NUM_SUBJECTS,
    Bools,
    Ints,
    field_of,
    hard_word_range,
    spell,
    vocabulary,
)
from w2s_ray.world.rows import KINDS, Writing, arrange, draw_kinds, signal_words
from w2s_ray.world.task import Row, WorldTask


class Questions(Writing):
    """Knobs of `world:qa`."""

    choices: int = Field(4, ge=2, le=NUM_SUBJECTS)
    lies: float = Field(
        0, ge=0, le=1, description="how often a wrong answer is argued for with words that the passage does not hold"
    )


class Debate(Questions):
    """Knobs of `world:debate`."""

    choices: int = Field(2, ge=2, le=2)
    arguments: bool = Field(True, description="false: only the two names are given")


def write_qa(rng: np.random.Generator, num: int, how: Questions) -> Iterator[Row]:
    topics_N, kinds_N = rng.integers(NUM_SUBJECTS, size=num), draw_kinds(rng, num, how)
    signal_NS, denied_NS = signal_words(rng, topics_N, kinds_N, how)
    passages_NW = arrange(rng, signal_NS, denied_NS, how.words, how.form)
    choices_NC = _choices(rng, topics_N, how.choices)
    lies_NC = (choices_NC != topics_N[:, None]) & (rng.random(choices_NC.shape) < how.lies)
    for i in range(num):

        def words(c: int, topic: Ints, i: int = i) -> Ints:
            told = signal_NS[i][_speaks_for(signal_NS[i], topic)]
            return _invented(rng, topic, passages_NW[i], how) if lies_NC[i, c] else told

        arguments = [_argument(topic, words(c, topic)) for c, topic in enumerate(choices_NC[i])]
        yield {
            "question": spell(passages_NW[i]),
            "choices": [_name(topic) for topic in choices_NC[i]],
            "answer": _name(topics_N[i]),
            "arguments": arguments,
            "kind": KINDS[kinds_N[i]],
        }


def write_debate(rng: np.random.Generator, num: int, how: Debate) -> Iterator[Row]:
    for row in write_qa(rng, num, how):
        choices, arguments = row["choices"], row["arguments"]
        assert isinstance(choices, list) and isinstance(arguments, list)
        first, second = arguments if how.arguments else choices
        yield {
            "text": f"Q: {row['question']} A: {first} . A: {second} .",
            "label": choices.index(row["answer"]),
            "kind": row["kind"],
        }


def _choices(rng: np.random.Generator, topics_N: Ints, num: int) -> Ints:
    """The right topic at a random place among different wrong ones."""
    steps_NC = np.argsort(rng.random((len(topics_N), NUM_SUBJECTS - 1)), axis=1)[:, :num] + 1
    choices_NC = (topics_N[:, None] + steps_NC) % NUM_SUBJECTS
    rows_N, place_N = np.arange(len(topics_N)), rng.integers(num, size=len(topics_N))
    if num == NUM_SUBJECTS:  # there is one wrong topic less than there are places
        choices_NC = np.concatenate([choices_NC, choices_NC[rows_N, place_N % (num - 1)][:, None]], axis=1)
    choices_NC[rows_N, place_N] = topics_N
    return choices_NC


def _invented(rng: np.random.Generator, topic: Ints, passage_W: Ints, how: Questions) -> Ints:
    """Hard words of a topic that the passage does not hold, as many as a row has signal words."""
    ranks = hard_word_range(how.hard_share)
    free = np.setdiff1d(FIRST_HARD + topic * NUM_HARD + np.arange(ranks.start, ranks.stop), passage_W)
    return rng.choice(free, size=min(how.signal, len(free)), replace=False)


def _speaks_for(words_S: Ints, topic: Ints) -> Bools:
    hard = (words_S >= FIRST_HARD) & ((words_S - FIRST_HARD) // NUM_HARD == topic)
    speaks: Bools = hard | ((words_S < FIRST_HARD) & ((words_S - FIRST_EASY) // NUM_EASY == field_of(topic)))
    return speaks


def _argument(topic: Ints, quotes: Ints) -> str:
    name = _name(topic)
    return " ".join([*(f"{vocabulary()[word]} says {name}" for word in dict.fromkeys(quotes.tolist())), f"so {name}"])


def _name(topic: Ints) -> str:
    return vocabulary()[FIRST_NAME + int(topic)]


TASKS = {
    "qa": WorldTask(
        "passages, four names to choose from, and an argument for each",
        write_qa,
        Questions(),
        ("question", "choices", "answer", "arguments", "kind"),
        "choices",
    ),
    "debate": WorldTask("a passage and an argument for each of two names; which is right?", write_debate, Debate()),
}
