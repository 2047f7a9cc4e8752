"""A reader of the built-in world who has its dictionary and not its generator: what the words of a text stand for, and
counts that must not stray from their share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from w2s_ray.world.lexicon import (
    FIRST_EASY,
    FIRST_FUNCTION,
    FIRST_HARD,
    FIRST_NAME,
    NUM_EASY,
    NUM_HARD,
    NUM_WORDS,
    vocabulary,
)
from w2s_ray.world.task import Row
from w2s_ray.world.tasks import find_task

SUBJECTS = 20
INDEX = {word: number for number, word in enumerate(vocabulary())}


@dataclass(frozen=True)
class Word:
    """One word of a text. `topics` are those that it may speak for: none for grammar, function words and names, a field
    for easy words, one for hard words."""

    number: int
    sort: str
    topics: tuple[int, ...] = ()

    def class_of(self, num_classes: int) -> int:
        """The one class that all its topics are in."""
        (said,) = {topic // (SUBJECTS // num_classes) for topic in self.topics}
        return said


def _look_up(number: int) -> Word:
    if number < FIRST_FUNCTION:
        return Word(number, "grammar")
    if number < FIRST_NAME:
        return Word(number, "function")
    if number < FIRST_EASY:
        return Word(number, "name")
    if number < FIRST_HARD:
        field = (number - FIRST_EASY) // NUM_EASY
        return Word(number, "easy", (2 * field, 2 * field + 1) if field < SUBJECTS // 2 else (field + SUBJECTS // 2,))
    return Word(number, "hard", ((number - FIRST_HARD) // NUM_HARD,))


DICTIONARY = [_look_up(number) for number in range(NUM_WORDS)]


def read(text: str) -> list[Word]:
    """Every word must be in the dictionary."""
    return [DICTIONARY[INDEX[word]] for word in text.split(" ")]


def of_sort(words: Sequence[Word], *sorts: str) -> list[Word]:
    return [word for word in words if word.sort in sorts]


def kind_of(words: Sequence[Word]) -> str:
    """Easy, hard or overlap, by the words alone."""
    easy, hard = (bool(of_sort(words, sort)) for sort in ("easy", "hard"))
    assert easy or hard
    return "overlap" if easy and hard else "easy" if easy else "hard"


def rows(name: str, num: int, seed: int = 0) -> list[Row]:
    task, knobs = find_task(name, "task.data")
    return list(task.rows(knobs, num, seed))


def near(count: int, num: int, share: float) -> bool:
    """Whether `count` of `num` independent events may have happened, each with probability `share`. Shares of 0 and 1
    leave no room."""
    return bool(binomtest(int(count), num, share).pvalue > 1e-4)
