"""Boosting's arithmetic against numbers worked out by hand and against scikit-learn's AdaBoost; resampling; the curve
over ensemble sizes.

Shapes: N rows, M members, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from w2s_ray.blocks.boost import next_weights, residual_labels, strength, weighted_error
from w2s_ray.blocks.combiners.boosted import Additive, Fixed
from w2s_ray.blocks.disagreement import disagreement
from w2s_ray.blocks.resample import resample, reweighted
from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import LabelSet

IDS = [f"r{n}" for n in range(5)]


def hard(*classes: int, num_classes: int = 2) -> LabelSet:
    return LabelSet.hard(IDS[: len(classes)], classes, num_classes)


def test_adaboost_by_hand() -> None:
    """Five rows; the first member errs on the last, the second on the first two."""
    truth = hard(1, 1, 0, 0, 1)
    first, second = hard(1, 1, 0, 0, 0), hard(0, 0, 0, 0, 1)
    e1 = weighted_error(first, truth)
    a1 = strength(e1, 2)
    assert (e1, a1) == pytest.approx((0.2, math.log(4)))
    weights = next_weights(np.ones(5), np.array([0, 0, 0, 0, 1], dtype=bool), a1)
    np.testing.assert_allclose(weights, np.array([1, 1, 1, 1, 4]) * 5 / 8)  # half of the weight is on what was wrong
    e2 = weighted_error(second, truth, weights)
    a2 = strength(e2, 2)
    assert (e2, a2) == pytest.approx((0.25, math.log(3)))
    combined = Fixed(weights=(a1, a2), hard=True).combine([first, second])
    assert combined.hard_N.tolist() == [1, 1, 0, 0, 0]  # log 4 outvotes log 3
    np.testing.assert_allclose(combined.probs_NK[0], [math.log(3) / math.log(12), math.log(4) / math.log(12)])


def test_votes_stay_finite_and_not_below_zero() -> None:
    assert 0 < strength(1.0, 2) < 0.01 < 6 < strength(0.0, 2) < 8
    assert strength(0.5, 3) == pytest.approx(math.log(2))  # worse than a coin, better than chance among three


def test_adaboost_is_that_of_scikit_learn() -> None:
    """The same weighted linear members, SAMME with three classes: equal errors, votes and decisions."""
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    x_ND, y_N = rng.normal(size=(300, 4)), rng.integers(0, 3, 300)
    x_ND[:, 0] += y_N
    stump = DecisionTreeClassifier(max_depth=1, random_state=0)
    theirs = AdaBoostClassifier(stump, n_estimators=5, random_state=0).fit(x_ND, y_N)
    ids = [f"r{n:03d}" for n in range(300)]
    truth, weight_N, said, strengths = LabelSet.hard(ids, y_N, 3), np.ones(300), [], []
    for member in theirs.estimators_:
        ours = DecisionTreeClassifier(max_depth=1, random_state=member.random_state).fit(
            x_ND, y_N, sample_weight=weight_N / weight_N.sum()
        )
        said.append(LabelSet.hard(ids, ours.predict(x_ND), 3))
        strengths.append(strength(weighted_error(said[-1], truth, weight_N), 3))
        weight_N = next_weights(weight_N, said[-1].hard_N != truth.hard_N, strengths[-1])
    np.testing.assert_allclose(strengths, theirs.estimator_weights_, rtol=1e-9)
    np.testing.assert_array_equal(Fixed(weights=tuple(strengths), hard=True).combine(said).hard_N, theirs.predict(x_ND))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_perfectly_learned_residual_moves_every_row_towards_its_class(num_classes: int) -> None:
    truth = hard(*[n % num_classes for n in range(5)], num_classes=num_classes)
    now = LabelSet.of(truth.ids, np.full((5, num_classes), 1 / num_classes))
    said, before = [], now
    for _ in range(3):
        q = residual_labels(truth, before)
        np.testing.assert_allclose(q.probs_NK.sum(axis=1), 1)
        np.testing.assert_allclose(
            num_classes * q.probs_NK - 1, truth.probs_NK - before.probs_NK, atol=1e-12
        )  # what a member that learned it tells
        said.append(q)
        after = Additive().combine(said)
        assert ((truth.probs_NK * (after.probs_NK - before.probs_NK)).sum(axis=1) > 0).all()
        before = after


def test_a_bootstrap_draws_as_many_rows_and_a_share_draws_each_once() -> None:
    ids = [f"r{n}" for n in range(2000)]
    labels = LabelSet.hard(ids, np.arange(2000) % 2, 2)
    drawn = resample(labels, "bootstrap", 0, 0)
    assert drawn.weight_N.sum() == 2000
    assert (drawn.weight_N > 0).mean() == pytest.approx(1 - math.exp(-1), abs=0.03)
    part = resample(labels, 0.25, 0, 0)
    assert set(part.weight_N) == {0.0, 1.0}
    assert part.weight_N.sum() == 500
    assert not np.array_equal(resample(labels, 0.25, 0, 1).weight_N, part.weight_N)
    assert not np.array_equal(resample(labels, 0.25, 1, 0).weight_N, part.weight_N)


def test_what_is_drawn_does_not_depend_on_the_order_of_rows() -> None:
    labels = hard(0, 1, 0, 1, 0)
    assert resample(labels, "bootstrap", 0, 3).digest == resample(labels.align(IDS[::-1]), "bootstrap", 0, 3).digest


def test_rows_without_a_label_cannot_be_all_that_was_drawn() -> None:
    with pytest.raises(DataError, match="draw more rows"):
        reweighted(hard(-1, 1), np.array([1.0, 0.0]))


def test_members_disagree_on_the_rows_where_two_that_speak_name_other_classes() -> None:
    votes = [hard(1, 1, 0, 0, 0), hard(0, 1, 0, 0, 1), hard(1, 1, 0, 1, 1)]
    found = [disagreement(votes[:members]) for members in (1, 2, 3)]
    assert found == [None, pytest.approx(0.4), pytest.approx((0.4 + 0.4 + 0.4) / 3)]
    assert disagreement([hard(-1, 1), hard(0, 0)]) == 1.0  # only where both speak
