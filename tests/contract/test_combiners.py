"""One suite for every combiner of the registry, and each against numbers worked out by hand or by others' code.

Shapes: N rows, M members, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from w2s_ray.blocks.combiners.boosted import Additive, Fixed
from w2s_ray.blocks.combiners.contract import Known
from w2s_ray.blocks.combiners.dawid_skene import DawidSkene
from w2s_ray.blocks.combiners.majority import Majority
from w2s_ray.blocks.combiners.mean import Confidence, Geometric, Mean, Weighted
from w2s_ray.blocks.combiners.stacking import Stacking
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.plugins import available, build

ALL: list[Any] = [
    Mean(),
    Geometric(),
    Confidence(),
    Weighted(),
    Weighted(by="accuracy"),
    Majority(),
    Majority(ties="abstain"),
    Majority(ties="lowest"),
    DawidSkene(),
    Stacking(),
    Fixed(weights=(1.0,) * 15),
    Fixed(weights=(1.0,) * 15, hard=True),
    Additive(rate=0.5),
]
IDS = [f"r{n:03d}" for n in range(60)]
each = pytest.mark.parametrize("combiner", ALL, ids=repr)
classes = pytest.mark.parametrize("num_classes", [2, 5])


def members(
    num_classes: int, num: int = 5, accuracy: float = 0.75, seed: int = 0, rows: int = 60
) -> tuple[list[LabelSet], Known]:
    """Members that err independently, on rows and on known ones."""
    rng = np.random.default_rng(seed)

    def said(truth_N: Any, ids: list[str]) -> list[LabelSet]:
        made = []
        for _ in range(num):
            right_N = rng.random(len(ids)) < accuracy
            named_N = np.where(right_N, truth_N, (truth_N + rng.integers(1, num_classes, len(ids))) % num_classes)
            logits_NK = rng.normal(size=(len(ids), num_classes)) * 0.3 + 2 * np.eye(num_classes)[named_N]
            made.append(LabelSet.of(ids, np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)))
        return made

    truth_N, known_N = (np.arange(n) % num_classes for n in (rows, 100))
    ids, known_ids = IDS[:rows], [f"k{n}" for n in range(100)]
    return said(truth_N, ids), Known(said(known_N, known_ids), LabelSet.hard(known_ids, known_N, num_classes))


def shuffled(labels: LabelSet, seed: int = 1) -> LabelSet:
    return labels.align(np.random.default_rng(seed).permutation(labels.ids))


def same(one: LabelSet, other: LabelSet) -> None:
    other = other.align(one.ids)
    np.testing.assert_array_equal(one.mask_N, other.mask_N)
    np.testing.assert_allclose(one.probs_NK, other.probs_NK, atol=1e-6)


def test_every_builtin_combiner_is_here() -> None:
    assert {type(combiner) for combiner in ALL} == {
        plugin for plugin in available("w2s_ray.combiners").values() if plugin.__module__.startswith("w2s_ray.")
    }


@each
@classes
def test_the_order_of_rows_and_of_members_decides_nothing(combiner: Any, num_classes: int) -> None:
    votes, known = members(num_classes)
    straight = combiner.combine(votes, known)
    assert straight.ids.tolist() == IDS
    same(straight, combiner.combine([shuffled(vote, seed) for seed, vote in enumerate(votes)], known))
    same(
        straight,
        combiner.combine(votes[::-1], Known([shuffled(vote) for vote in known.votes[::-1]], shuffled(known.truth))),
    )


@pytest.mark.parametrize("combiner", [one for one in ALL if one != Majority(ties="lowest")], ids=repr)
@classes
def test_names_of_classes_decide_nothing_but_ties(combiner: Any, num_classes: int) -> None:
    votes, known = members(num_classes)
    turn = np.roll(np.arange(num_classes), 1)

    def renamed(labels: LabelSet) -> LabelSet:
        return LabelSet.of(labels.ids, labels.probs_NK[:, turn])

    turned = combiner.combine(
        [renamed(vote) for vote in votes], Known([renamed(vote) for vote in known.votes], renamed(known.truth))
    )
    expected = combiner.combine(votes, known)
    np.testing.assert_allclose(
        turned.probs_NK, np.where(expected.mask_N[:, None], expected.probs_NK[:, turn], 1 / num_classes), atol=1e-4
    )


@each
@classes
def test_who_abstains_is_not_heard_and_where_all_do_there_is_no_label(combiner: Any, num_classes: int) -> None:
    votes, known = members(num_classes)
    quiet_N = np.arange(60) < 10
    some = [LabelSet.of(vote.ids, vote.probs_NK, mask_N=~quiet_N) for vote in votes]
    assert not combiner.combine(some, known).mask_N[quiet_N].any()
    one_speaks = [votes[0], *some[1:]]
    if combiner != Stacking():  # it has its own opinion of a single member
        np.testing.assert_array_equal(combiner.combine(one_speaks, known).hard_N[quiet_N], votes[0].hard_N[quiet_N])


@each
@classes
def test_together_they_are_better_than_each(combiner: Any, num_classes: int) -> None:
    votes, known = members(num_classes, num=15)
    truth_N = np.arange(60) % num_classes
    combined = combiner.combine(votes, known)
    assert (combined.hard_N == truth_N).mean() > max((vote.hard_N == truth_N).mean() for vote in votes)


@pytest.mark.parametrize("combiner", [Mean(), Geometric(), Confidence(), Weighted(), Fixed(weights=(0.3,))], ids=repr)
def test_one_member_alone_is_what_it_says(combiner: Any) -> None:
    votes, known = members(3, num=1)
    np.testing.assert_allclose(combiner.combine(votes, known).probs_NK, votes[0].probs_NK, atol=1e-9)


@pytest.mark.parametrize("combiner", [Majority(), DawidSkene(), Fixed(weights=(2.0,), hard=True)], ids=repr)
def test_one_member_alone_is_hardened(combiner: Any) -> None:
    votes, _ = members(3, num=1)
    np.testing.assert_array_equal(combiner.combine(votes).hard_N, votes[0].hard_N)


@each
def test_who_does_not_learn_needs_nothing_known_and_who_does_says_so(combiner: Any) -> None:
    votes, _ = members(2)
    if not combiner.learns:
        combiner.combine(votes)
        return
    with pytest.raises(DataError, match=r"set task\.heldout"):
        combiner.combine(votes)


def test_members_of_other_rows_are_refused() -> None:
    votes, _ = members(2)
    with pytest.raises(DataError, match="label 60 and 59 rows"):
        Mean().combine([votes[0], votes[1].align(IDS[:59])])


def test_a_misspelt_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'majority'"):
        build("w2s_ray.combiners", "majorty")


# by hand


def two(*probs: float) -> list[LabelSet]:
    """Members of one row with two classes; a number is the probability of class 1."""
    return [LabelSet.of(["a"], [[1 - p, p]]) for p in probs]


def p1(combiner: Any, *probs: float, known: Known | None = None) -> float:
    return float(combiner.combine(two(*probs), known).probs_NK[0, 1])


def test_means_by_hand() -> None:
    assert p1(Mean(), 0.9, 0.2, 0.4) == pytest.approx(0.5)
    odds = (9 * 0.25 * (2 / 3)) ** (1 / 3)
    assert p1(Geometric(), 0.9, 0.2, 0.4) == pytest.approx(odds / (1 + odds))
    assert p1(Confidence(), 0.5, 0.9) == pytest.approx(0.9)  # who has no opinion has no weight
    assert p1(Confidence(), 0.5, 0.5) == pytest.approx(0.5)  # all weights are 0


def test_ties_go_where_the_rule_says() -> None:
    assert p1(Majority(), 0.9, 0.3) == 1.0  # mean 0.6
    assert p1(Majority(ties="lowest"), 0.9, 0.3) == 0.0
    assert not Majority(ties="abstain").combine(two(0.9, 0.3)).mask_N.any()
    assert p1(Majority(ties="abstain"), 0.9, 0.3, 0.2) == 0.0


def test_weights_are_the_log_odds_of_being_right() -> None:
    truth = LabelSet.hard([str(n) for n in range(8)], [0, 1] * 4, 2)
    right = LabelSet.of(truth.ids, truth.probs_NK)
    half = LabelSet.hard(truth.ids, [0] * 8, 2)
    known = Known([right, half], truth)
    assert p1(Weighted(), 0.8, 0.1, known=known) == pytest.approx(0.8)  # 9 of 10 against 5 of 10, which is chance
    assert p1(Weighted(by="accuracy"), 0.8, 0.1, known=known) == pytest.approx((0.9 * 0.8 + 0.5 * 0.1) / 1.4)


def test_dawid_skene_recovers_confusion_matrices_and_priors() -> None:
    rng = np.random.default_rng(0)
    prior_K, rows = np.array([0.5, 0.3, 0.2]), 20_000
    confusion_MKL = np.array(
        [[[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]], [[0.6, 0.2, 0.2], [0.05, 0.9, 0.05], [0.2, 0.2, 0.6]]] * 3
    )
    truth_N = rng.choice(3, size=rows, p=prior_K)
    hard_NML = np.stack(
        [np.eye(3)[[rng.choice(3, p=confusion_KL[k]) for k in truth_N]] for confusion_KL in confusion_MKL], axis=1
    )
    posterior_NK, found_MKL, found_K = DawidSkene().estimate(hard_NML)
    np.testing.assert_allclose(found_K, prior_K, atol=0.015)
    np.testing.assert_allclose(found_MKL, confusion_MKL, atol=0.025)
    # With these matrices known, Bayes' rule is the best that anyone can do.
    log_NK = np.log(prior_K) + np.einsum("nml,mkl->nk", hard_NML, np.log(confusion_MKL))
    assert (posterior_NK.argmax(axis=1) == log_NK.argmax(axis=1)).mean() > 0.99


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, in theirs
def test_dawid_skene_is_that_of_crowd_kit() -> None:
    import pandas as pd
    from crowdkit import aggregation

    rng = np.random.default_rng(3)
    truth_N, ids = rng.integers(0, 3, 400), [f"t{n}" for n in range(400)]
    votes = [LabelSet.hard(ids, np.where(rng.random(400) < 0.7, truth_N, rng.integers(0, 3, 400)), 3) for _ in range(6)]
    rows = [
        {"task": str(i), "worker": m, "label": int(k)}
        for m, vote in enumerate(votes)
        for i, k in zip(vote.ids, vote.hard_N, strict=True)
    ]
    theirs = (
        aggregation.DawidSkene(n_iter=100, tol=-1e9)
        .fit_predict_proba(pd.DataFrame(rows))
        .sort_index()
        .sort_index(axis=1)
    )
    ours = DawidSkene(smoothing=0, tolerance=1e-12, iterations=100).combine(votes)
    np.testing.assert_allclose(ours.align(theirs.index.tolist()).probs_NK, theirs.to_numpy(), atol=1e-5)


def test_stacking_turns_a_member_round_that_is_always_wrong() -> None:
    votes, known = members(2, num=1, accuracy=0.0)
    truth_N = np.arange(60) % 2
    assert (Mean().combine(votes).hard_N == truth_N).mean() == 0
    assert (Stacking().combine(votes, known).hard_N == truth_N).mean() == 1


def test_stacking_needs_all_classes() -> None:
    votes, known = members(2)
    with pytest.raises(DataError, match="all 2 classes"):
        Stacking().combine(votes, Known(known.votes, LabelSet.hard(known.truth.ids, [0] * 100, 2)))
