"""`pref`: which answer is better on which of two dimensions, counted in the two texts."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest
from world_reading import Word, near, of_sort, read, rows

N = 3000
GOOD, BAD = {"helpful": 20, "harmless": 22}, {"helpful": 21, "harmless": 23}


@cache
def seen(name: str) -> list[Any]:
    return [(read(row["chosen"]), read(row["rejected"]), row["kind"]) for row in rows(name, N)]


def says(words: list[Word], dimension: str) -> int:
    """Words for the good end of a dimension, less those for its bad end."""
    topics = [word.topics[0] for word in of_sort(words, "easy", "hard")]
    return topics.count(GOOD[dimension]) - topics.count(BAD[dimension])


@pytest.mark.parametrize(
    ("name", "dimension", "other", "conflict"),
    [
        ("pref", "helpful", "harmless", 0.5),
        ("pref?dimension=harmless", "harmless", "helpful", 0.5),
        ("pref?conflict=0", "helpful", "harmless", 0),
        ("pref?conflict=1&dimension=harmless", "harmless", "helpful", 1),
        ("pref?conflict=0.2", "helpful", "harmless", 0.2),
    ],
)
def test_the_chosen_answer_is_better_on_the_dimension_and_worse_on_the_other_under_conflict(
    name: str, dimension: str, other: str, conflict: float
) -> None:
    kinds, better = Counter(), Counter()
    for chosen, rejected, kind in seen(name):
        kinds[kind] += 1
        for which in (dimension, other):
            margin = says(chosen, which) - says(rejected, which)
            better[which, kind] += (margin > 0) + (margin == 0) / 2
    assert near(kinds["conflict"], N, conflict)
    assert kinds["conflict"] + kinds["agree"] == N
    for kind, count in kinds.items():
        assert better[dimension, kind] / count > 0.95
        share = better[other, kind] / count
        assert share > 0.95 if kind == "agree" else share < 0.05


@pytest.mark.parametrize("name", ["pref", "pref?easy_true=0.4&hard_true=0.7", "pref?dimension=harmless"])
def test_words_are_as_true_as_asked(name: str) -> None:
    """Half of the slots are of each dimension; a false word is of any of the four conducts, so a true end has t / 2 +
    (1 - t) / 4 of the words."""
    truth = {"easy": 0.4, "hard": 0.7} if "easy_true" in name else {"easy": 0.7, "hard": 0.95}
    preferred, other = ("harmless", "helpful") if "harmless" in name else ("helpful", "harmless")
    said, total = Counter(), Counter()
    for chosen, rejected, kind in seen(name):
        for words, good in ((chosen, True), (rejected, False)):
            ends = {(GOOD if good else BAD)[preferred], (GOOD if good == (kind == "agree") else BAD)[other]}
            for word in of_sort(words, "easy", "hard"):
                total[word.sort] += 1
                said[word.sort] += word.topics[0] in ends
    for sort, t in truth.items():
        assert near(said[sort], total[sort], t + (1 - t) / 2), sort


def test_answers_have_the_words_that_they_should_and_a_pair_is_of_one_difficulty() -> None:
    kinds: Counter[tuple[int, int]] = Counter()
    for chosen, rejected, _ in seen("pref"):
        (mix,) = {(len(of_sort(words, "easy")), len(of_sort(words, "hard"))) for words in (chosen, rejected)}
        kinds[mix] += 1
        for words in (chosen, rejected):
            assert len(words) == 20
            assert all(word.topics[0] >= 20 for word in of_sort(words, "easy", "hard")), (
                "answers are about conduct alone"
            )
            assert not of_sort(words, "grammar", "name")
    assert {
        mix: near(count, N, {(8, 0): 0.3, (0, 8): 0.35, (4, 4): 0.35}[mix]) for mix, count in kinds.items()
    } == dict.fromkeys(kinds, True)
    assert len(kinds) == 3
