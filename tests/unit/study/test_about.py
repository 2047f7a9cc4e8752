"""What a report tells beside its numbers, from what is known of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.eval.said import Said, what_they_said
from w2s_ray.study.about import MOST_POINTS, _of_answers, _of_losses, _thinned

GROUP = ("naive", "topic", "nano", "small")
NAMES = {"method": "naive", "task": "topic", "weak": "nano", "strong": "small"}


def curve(*loss: float) -> dict[str, Any]:
    return {"method": "naive", "task": "topic", "model": "small", "seed": 3, "role": "student", "loss": list(loss)}


@pytest.mark.parametrize(
    ("loss", "said"),
    [((0.7, 0.2), 0), ((0.7, 2.0), 0), ((0.7, 2.2), 1), ((0.01, 0.9), 0), ((9.0, 26.0), 0), ((0.7, 3.4e10), 1)],
)
def test_a_loss_that_explodes_is_told_with_both_numbers(loss: tuple[float, ...], said: int) -> None:
    """More than three times what it was, and above 1: a loss near zero may well triple."""
    told = list(_of_losses([curve(*loss)]))
    assert len(told) == said
    if told:
        assert f"from {loss[0]:.3g} to {loss[-1]:.3g}" in told[0] and "seed 3" in told[0]


@given(st.integers(0, 1000))
def test_a_thinned_curve_has_few_points_in_their_order_and_the_last_one(count: int) -> None:
    points = [(step, float(step)) for step in range(1, count + 1)]
    thinned = _thinned(points)
    assert len(thinned["steps"]) == len(thinned["loss"]) <= MOST_POINTS
    assert thinned["steps"] == sorted(thinned["steps"])
    assert not points or thinned["steps"][-1] == count
    assert count > MOST_POINTS or thinned["steps"] == [step for step, _ in points]


def run(floor: float, shares: dict[str, float], num_test: int = 400) -> Any:
    score = SimpleNamespace(value={"metrics": {"floor": {"accuracy": floor}}, "num_test": num_test})
    return SimpleNamespace(rows={"class_shares": {"test": shares}}, score=score), NAMES


@pytest.mark.parametrize(("floor", "told"), [(0.5, True), (0.549, True), (0.551, False), (0.3, True)])
def test_a_teacher_within_two_standard_errors_of_the_most_frequent_class_is_at_chance(floor: float, told: bool) -> None:
    """sqrt(.5 * .5 / 400) is .025."""
    assert bool(list(_of_answers({}, [run(floor, {"0": 0.5, "1": 0.5})]))) == told


def test_who_says_the_same_of_every_row_is_named_with_the_seeds() -> None:
    gold_N, ones_N, mixed_N = np.array([0, 1, 1]), np.array([1, 1, 1]), np.array([0, 1, 1])
    probs_NK = np.array([[0.2, 0.8]] * 3)
    cells = [
        (GROUP, seed, {"student": Said(said, gold_N, probs_NK), "labels": Said(mixed_N, gold_N, probs_NK)})
        for seed, said in ((0, ones_N), (1, mixed_N), (2, ones_N))
    ]
    (entry,) = what_they_said(cells)
    assert entry["arms"]["student"]["constant"] == [0, 2] and entry["arms"]["labels"]["constant"] == []
    (told,) = _of_answers({"said": [entry]}, [])
    assert told == "naive, topic, nano → small: the student says the same of every test row (seeds 0, 2)."


def test_a_constant_teacher_is_named_once_and_explains_its_labels() -> None:
    def entry(method: str, floor: list[int], labels: list[int]) -> dict[str, Any]:
        arms = {"floor": {"constant": floor}, "labels": {"constant": labels}}
        return {**NAMES, "method": method, "arms": arms}

    assert list(_of_answers({"said": [entry("naive", [0, 1], [0, 1]), entry("other", [0, 1], [0, 2])]}, [])) == [
        "topic, nano: the weak teacher says the same of every test row (seeds 0, 1).",
        "other, topic, nano → small: the labels say the same of every pool row (seed 2).",
    ]


def test_shares_are_means_over_seeds_and_bins_are_of_all_rows() -> None:
    """By hand: three rows of confidence .8, of which two are right, in each of two seeds."""
    gold_N, said_N = np.array([0, 1, 1]), np.array([1, 1, 1])
    probs_NK = np.array([[0.2, 0.8]] * 3)
    other_N = np.array([0, 1, -1])  # of which one abstains
    seeds = [(GROUP, seed, {"student": Said(each_N, gold_N, probs_NK)}) for seed, each_N in ((0, said_N), (1, other_N))]
    (entry,) = what_they_said(seeds)
    student = entry["arms"]["student"]
    assert student["shares"] == [0.25, 0.75]
    assert student["bins"] == [{"rows": 6, "confidence": 0.8, "right": pytest.approx(2 / 3, abs=1e-6)}]


def test_texts_have_neither_classes_nor_bins_and_may_be_all_the_same() -> None:
    said = Said(np.array(["yes", "yes"]), np.array(["yes", "no"]))
    (entry,) = what_they_said([(GROUP, 4, {"student": said})])
    assert entry["arms"]["student"] == {"shares": None, "constant": [4], "bins": []}
