"""Accuracy and ROC-AUC on drawn rows and as paired differences: closed forms, brute force, a published example, the
bootstrap."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from w2s_ray.core.errors import DataError
from w2s_ray.core.metrics import auroc
from w2s_ray.eval.intervals import mean_interval, resample
from w2s_ray.eval.measure import Accuracy, RocAuc, measured


def binary(score_N, gold_N):
    score_N = np.asarray(score_N, dtype=float)
    return RocAuc(np.stack([1 - score_N, score_N], axis=1), np.asarray(gold_N))


def rankings(rng, num_rows, num_classes=2, strength=1.0, decimals=None, luck_NK=None):
    """Scores that know the class a little; `luck_NK` is what two arms have in common."""
    gold_N = rng.integers(num_classes, size=num_rows)
    gold_N[:num_classes] = range(num_classes)
    return gold_N, [one_ranking(rng, gold_N, num_classes, s, decimals, luck_NK) for s in np.atleast_1d(strength)]


def one_ranking(rng, gold_N, num_classes, strength, decimals=None, luck_NK=None):
    logits_NK = rng.normal(size=(len(gold_N), num_classes)) + (0 if luck_NK is None else luck_NK)
    logits_NK[np.arange(len(gold_N)), gold_N] += strength
    probs_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    return RocAuc(probs_NK if decimals is None else np.round(probs_NK, decimals), gold_N)


GOLD = np.array([0, 1, 1, 0, 1, 0])


@pytest.mark.parametrize(("score", "value"), [(GOLD, 1.0), (1 - GOLD, 0.0), (np.full(6, 0.3), 0.5)])
def test_perfect_reversed_and_constant_scores(score, value):
    found = binary(score, GOLD)
    assert found.value() == value
    counts_RN = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 1, 0, 2, 0], [0, 6, 0, 0, 0, 0]], dtype=float)
    assert found.resampled(counts_RN).tolist()[:2] == [value, value]
    assert np.isnan(found.resampled(counts_RN)[2]), "rows of one class have none"
    assert found.paired_error(binary(np.full(6, 0.5), GOLD)) == 0.0, (
        "the components of all three are the same for every row"
    )


def test_three_classes_in_order_and_in_none():
    gold = np.array([0, 1, 2, 0, 1, 2])
    assert RocAuc(np.eye(3)[gold], gold).value() == 1.0
    assert RocAuc(np.full((6, 3), 1 / 3), gold).value() == 0.5
    assert RocAuc(np.eye(3)[(gold + 1) % 3], gold).value() == pytest.approx(
        0.25
    )  # of one against the rest: own 0, others 0 or 1


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4]), st.sampled_from([1, 2, None]))
def test_drawn_rows_are_the_rows_written_out_so_often(seed, num_classes, decimals):
    rng = np.random.default_rng(seed)
    gold_N, (found,) = rankings(rng, 25, num_classes, decimals=decimals)
    counts_RN = rng.multinomial(25, np.full(25, 1 / 25), size=8)
    for counts_N, value in zip(counts_RN, found.resampled(counts_RN.astype(float)), strict=True):
        rows = np.repeat(np.arange(25), counts_N)
        expected = auroc(found.probs_NK[rows], gold_N[rows]).value
        if expected is None:
            drawn = np.unique(gold_N[rows])
            areas = (
                [roc_auc_score(gold_N[rows] == k, found.probs_NK[rows, k]) for k in drawn]
                if len(drawn) > 1 and num_classes > 2
                else [np.nan]
            )
            assert value == pytest.approx(np.mean(areas), nan_ok=True)
        else:
            assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_every_row_once_gives_the_value_to_the_last_digit(num_classes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, (found,) = rankings(rng, 97, num_classes, decimals=1)
        assert found.resampled(np.ones((1, 97))).tolist() == [found.value()]


def wins(own, other):
    return float(own > other) + 0.5 * float(own == other)


def delong_by_definition(one, other):
    """DeLong et al. 1988 as they write it: components by two loops, S10 and S01 as covariances, the contrast (1,
    -1)."""
    own, rest = np.flatnonzero(one.gold_N == 1), np.flatnonzero(one.gold_N == 0)
    v10, v01 = np.empty((2, len(own))), np.empty((2, len(rest)))
    for arm, measure in enumerate((one, other)):
        score = measure.probs_NK[:, 1]
        v10[arm] = [np.mean([wins(score[i], score[j]) for j in rest]) for i in own]
        v01[arm] = [np.mean([wins(score[i], score[j]) for i in own]) for j in rest]
    covariance = np.cov(v10) / len(own) + np.cov(v01) / len(rest)
    return np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))


@pytest.mark.parametrize("decimals", [None, 1])
def test_the_paired_error_is_delongs(decimals):
    rng = np.random.default_rng(1)
    for _ in range(10):
        _, (one, other) = rankings(rng, 40, strength=[0.3, 1.2], decimals=decimals, luck_NK=rng.normal(size=(40, 2)))
        assert one.paired_error(other) == pytest.approx(delong_by_definition(one, other), abs=1e-12)
        assert one.paired_error(other) == other.paired_error(one)


def test_an_example_by_hand():
    """A: positives 4, 2, negatives 3, 1: components 1, 1/2 and 1/2, 1. B: positives 2, 2, negatives 2, 1: 3/4, 3/4 and
    1/2, 1.

    Of A - B: 1/4, -1/4 with variance 1/8, and 0, 0. So 1/8 / 2 = 1/16.
    """
    gold = [1, 1, 0, 0]
    a, b = binary([4, 2, 3, 1], gold), binary([2, 2, 2, 1], gold)
    assert (a.value(), b.value(), a.minus(b)) == (0.75, 0.75, 0.0)
    assert a.paired_error(b) == pytest.approx(1 / 4)


def test_a_published_example():
    """The CT ratings of Hanley & McNeil 1982, table I: area 0.8932 with DeLong's standard error 0.0307, as Stata's
    manual of `roctab` prints them."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    score = np.concatenate([np.repeat(range(5), normal), np.repeat(range(5), abnormal)])
    found = binary(score, [0] * 58 + [1] * 51)
    assert found.value() == pytest.approx(0.8932, abs=5e-5)
    assert found.paired_error(binary(np.zeros(109), found.gold_N)) == pytest.approx(0.0307, abs=5e-5), (
        "beside a constant: the error of the area itself"
    )


@pytest.mark.parametrize(("num_classes", "decimals"), [(2, None), (2, 1), (3, None), (5, 1)])
def test_the_paired_error_is_the_bootstraps(num_classes, decimals):
    rng = np.random.default_rng(2)
    luck_NK = 2 * rng.normal(size=(400, num_classes))
    _, (one, other) = rankings(rng, 400, num_classes, [0.5, 1.5], decimals, luck_NK)
    counts_RN = rng.multinomial(400, np.full(400, 1 / 400), size=4000).astype(float)
    drawn_R = one.resampled(counts_RN) - other.resampled(counts_RN)
    assert one.paired_error(other) == pytest.approx(drawn_R.std(), rel=0.06)
    alone = np.hypot(one.resampled(counts_RN).std(), other.resampled(counts_RN).std())
    assert drawn_R.std() < 0.8 * alone, "what both meet drops out"


def test_one_seeds_interval_is_the_normal_one():
    rng = np.random.default_rng(3)
    _, (found, flat) = rankings(rng, 600, strength=[1.0, 0.0])
    flat = binary(np.zeros(600), found.gold_N)
    error = found.paired_error(flat)
    low, high = mean_interval(resample([np.arange(600).astype(str)], [[found]], replicates=5000)[:, :, 0])
    assert (low, high) == pytest.approx((found.value() - 1.96 * error, found.value() + 1.96 * error), abs=0.004)


def test_a_class_with_one_row_shows_no_error():
    gold = np.array([0, 0, 0, 1])
    assert binary([1, 2, 3, 4], gold).paired_error(binary([1, 1, 1, 1], gold)) is None
    assert "single test row" in binary([1, 2, 3, 4], gold).too_few
    assert Accuracy(np.array([True])).paired_error(Accuracy(np.array([False]))) is None


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(4)
    _, (one, other) = rankings(rng, 60, 3, [0.5, 1.0], decimals=1)
    order = rng.permutation(60)
    moved, moved_other = one.ordered(order), other.ordered(order)
    assert moved.value() == one.value() and moved.minus(moved_other) == one.minus(other)
    assert moved.paired_error(moved_other) == pytest.approx(one.paired_error(other))


def test_accuracy():
    one, other = Accuracy(np.array([True, True, False, True])), Accuracy(np.array([True, False, False, True]))
    assert (one.value(), one.minus(other), other.minus(one), one.minus(one)) == (0.75, 0.25, -0.25, 0.0)
    assert one.resampled(np.array([[1.0, 1, 1, 1], [0, 0, 4, 0], [2, 0, 1, 1]])).tolist() == [0.75, 0.0, 0.75]


def test_what_an_arm_says_in_either_metric():
    probs, gold = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1])
    hard = np.array([0, 0, -1])
    assert measured("accuracy", hard, probs, gold).value() == pytest.approx(1 / 3)
    assert measured("auroc", hard, probs, gold).value() == 1.0
    texts = np.array(["a", "b"], dtype=object)
    assert measured("accuracy", texts, None, texts).value() == 1.0


def test_what_has_no_roc_auc_is_refused():
    texts = np.array(["a", "b"], dtype=object)
    with pytest.raises(DataError, match="answers are texts; use metric: accuracy"):
        measured("auroc", texts, None, texts)
    with pytest.raises(
        DataError, match=r"metric: auroc .* none of the 3 rows has class 0; use metric: accuracy, or more test rows"
    ):
        binary([0.1, 0.2, 0.3], [1, 1, 1])
    with pytest.raises(DataError, match="has class 2"):
        RocAuc(np.full((2, 3), 1 / 3), np.array([0, 1]))


def test_a_full_study_in_roc_auc_takes_about_a_second():
    rng = np.random.default_rng(5)
    ids = np.array([f"{i:04d}" for i in range(2000)])
    gold_N = rng.integers(2, size=2000)
    arms = [[one_ranking(rng, gold_N, 2, 1.0) for _ in range(3)] for _ in range(10)]
    start = time.process_time()
    resample([ids] * 10, arms, replicates=1000)
    assert time.process_time() - start < 3.0  # 0.5 s on an idle core
