"""`votes`: ten labelling functions whose accuracy, coverage and copying are counted."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from world_reading import near, rows

from w2s_ray.world.votes import ABSTAIN, FUNCTIONS, LabellingFunction, cast_votes

N = 20_000


def drawn(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    classes_N = rng.integers(num_classes, size=N)
    return classes_N, cast_votes(rng, classes_N, num_classes)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_each_function_is_right_and_silent_as_often_as_stated(num_classes: int) -> None:
    classes_N, votes_NM = drawn(num_classes)
    assert votes_NM.shape == (N, len(FUNCTIONS))
    assert len(FUNCTIONS) >= 8
    assert set(np.unique(votes_NM)) == {ABSTAIN, *range(num_classes)}
    assert ABSTAIN not in range(num_classes)
    for votes_N, function in zip(votes_NM.T, FUNCTIONS, strict=True):
        cast_N = votes_N != ABSTAIN
        assert near(cast_N.sum(), N, function.coverage), function
        assert near((votes_N == classes_N)[cast_N].sum(), cast_N.sum(), function.accuracy), function
        for step in range(1, num_classes):  # a wrong vote is any wrong class
            wrong = ((votes_N - classes_N) % num_classes == step)[cast_N].sum()
            assert near(wrong, cast_N.sum(), (1 - function.accuracy) / (num_classes - 1)), (function, step)


def alike_by_chance(one: LabellingFunction, other: LabellingFunction, num_classes: int) -> float:
    """P(both say the same, silence included) of two that do not listen to each other."""
    same_vote = one.accuracy * other.accuracy + (1 - one.accuracy) * (1 - other.accuracy) / (num_classes - 1)
    return one.coverage * other.coverage * same_vote + (1 - one.coverage) * (1 - other.coverage)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_copies_say_what_they_copy_and_all_others_are_independent(num_classes: int) -> None:
    _, votes_NM = drawn(num_classes)
    copies = {
        (function.copies, index): function.loyalty
        for index, function in enumerate(FUNCTIONS)
        if function.copies is not None
    }
    assert set(copies) == {(2, 8), (4, 9)}
    for one, other in combinations(range(len(FUNCTIONS)), 2):
        chance = alike_by_chance(FUNCTIONS[one], FUNCTIONS[other], num_classes)
        loyalty = copies.get((one, other), 0)
        same = (votes_NM[:, one] == votes_NM[:, other]).sum()
        assert near(same, N, loyalty + (1 - loyalty) * chance), (one, other)


def test_a_copy_is_as_good_as_what_it_copies() -> None:
    """Else its stated accuracy and coverage, of its own votes alone, would not be those of the votes that it casts."""
    for function in FUNCTIONS:
        if function.copies is not None:
            original = FUNCTIONS[function.copies]
            assert (function.accuracy, function.coverage, original.copies) == (
                original.accuracy,
                original.coverage,
                None,
            )


def test_the_rows_are_those_of_topic_and_their_votes_are_of_their_labels() -> None:
    voted, plain = rows("votes", 3000, seed=2), rows("topic", 3000, seed=2)
    assert [{key: row[key] for key in ("text", "label", "kind")} for row in voted] == plain
    votes_NM, labels_N = np.array([row["votes"] for row in voted]), np.array([row["label"] for row in voted])
    for votes_N, function in zip(votes_NM.T, FUNCTIONS, strict=True):
        cast_N = votes_N != ABSTAIN
        assert near(cast_N.sum(), 3000, function.coverage)
        assert near((votes_N == labels_N)[cast_N].sum(), cast_N.sum(), function.accuracy)
    # Nothing but the label decides: a function is as good on hard rows as on easy ones.
    for kind in ("easy", "hard", "overlap"):
        of_kind_N = np.array([row["kind"] == kind for row in voted])
        assert near((votes_NM[of_kind_N, 5] == labels_N[of_kind_N]).sum(), of_kind_N.sum(), 0.65)
