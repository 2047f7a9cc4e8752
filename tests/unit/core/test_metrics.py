"""Metrics against closed forms, brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from w2s_ray.core.errors import AlignmentError, DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.metrics import SMALLEST, agreement, auroc, correctness, ece, log_loss, score, scored_ids


def names(n):
    return [f"row{i:04d}" for i in range(n)]


def softmax_rows(rng, n, k, decimals=None):
    logits = rng.normal(size=(n, k))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if decimals is not None:
        probs = np.maximum(np.round(probs, decimals), 10.0**-decimals)
        probs /= probs.sum(axis=1, keepdims=True)
    return probs


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({gold for _, gold in rows}) == 2
    )
)
def test_binary_auroc_is_the_share_of_pairs_in_order_with_ties_as_half(rows):
    score_N, gold_N = np.array([s / 4 for s, _ in rows]), np.array([int(g) for _, g in rows])
    pairs = [(p > q) + 0.5 * (p == q) for p in score_N[gold_N == 1] for q in score_N[gold_N == 0]]
    assert auroc(np.stack([1 - score_N, score_N], axis=1), gold_N).value == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(("num_classes", "decimals"), [(2, None), (2, 1), (3, None), (5, 1)])
def test_auroc_and_log_loss_agree_with_scikit_learn(num_classes, decimals):
    rng = np.random.default_rng(num_classes)
    probs, gold = softmax_rows(rng, 300, num_classes, decimals), rng.integers(num_classes, size=300)
    expected = (
        roc_auc_score(gold, probs[:, 1])
        if num_classes == 2
        else roc_auc_score(gold, probs, multi_class="ovr", average="macro")
    )
    assert auroc(probs, gold).value == pytest.approx(expected)
    assert log_loss(probs, gold).value == pytest.approx(sklearn_log_loss(gold, probs, labels=range(num_classes)))


def test_log_loss_of_uniform_is_log_k_and_of_a_confident_error_is_bounded():
    assert log_loss(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 0])).value == pytest.approx(np.log(3))
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])).value == pytest.approx(-np.log(SMALLEST))


def ece_by_loop(probs, gold, num_bins):
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == gold
    total = 0.0
    for b in range(num_bins):
        inside = (confidence > b / num_bins) & (confidence <= (b + 1) / num_bins)
        if inside.any():
            total += inside.sum() / len(gold) * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_ece_matches_the_definition_bin_by_bin(num_bins):
    rng = np.random.default_rng(3)
    probs, gold = softmax_rows(rng, 500, 3), rng.integers(3, size=500)
    assert ece(probs, gold, num_bins).value == pytest.approx(ece_by_loop(probs, gold, num_bins))


def test_ece_closed_forms():
    probs = np.array([[0.8, 0.2]] * 5)
    assert ece(probs, np.array([0, 0, 0, 0, 1])).value == pytest.approx(0.0)  # says 80 %, is right in 80 %
    assert ece(probs, np.ones(5, dtype=int)).value == pytest.approx(0.8)
    # Two errors of opposite sign cancel in one bin and add up in two.
    mixed, gold = np.array([[0.6, 0.4], [0.9, 0.1]]), np.array([0, 1])
    assert ece(mixed, gold, 1).value == pytest.approx(0.25)
    assert ece(mixed, gold, 10).value == pytest.approx((0.4 + 0.9) / 2)


def test_ece_bins_are_closed_above():
    """0.5 belongs to the lower of two bins, away from 0.75: the two errors do not cancel. Certainty is in the last
    bin."""
    assert ece(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([1, 0]), 2).value == pytest.approx((0.5 + 0.25) / 2)
    assert ece(np.array([[1.0, 0.0]]), np.array([1])).value == 1.0


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_score_joins_by_id_whatever_the_order(seed):
    rng = np.random.default_rng(seed)
    ids, probs, classes = names(30), softmax_rows(rng, 30, 2), rng.integers(2, size=30)
    order = rng.permutation(30)
    gold = LabelSet.hard(ids, classes, 2)
    shuffled = LabelSet.of([ids[i] for i in order], probs[order])
    one, other = score(LabelSet.of(ids, probs), gold), score(shuffled, gold)
    assert one["accuracy"] == np.mean(probs.argmax(axis=1) == classes)
    assert one == other
    assert correctness(shuffled, gold).tolist() == (probs.argmax(axis=1) == classes).tolist()


def test_score_of_a_hand_made_set():
    gold = LabelSet.hard(["a", "b", "c", "d"], [0, 1, 1, 1], 2)
    predicted = LabelSet.of(["d", "c", "b", "a"], [[0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.7, 0.3]])
    result = score(predicted, gold)
    assert result["accuracy"] == 0.75
    assert result["auroc"] == 1.0
    assert result["log_loss"] == pytest.approx(-np.mean(np.log([0.7, 0.9, 0.4, 0.8])))
    assert (
        result["positive_rate"],
        result["gold_positive_rate"],
        result["n"],
        result["abstained"],
        result["reasons"],
    ) == (0.5, 0.75, 4, 0, {})


def test_undefined_metrics_are_none_with_a_reason():
    ids = names(3)
    one_class = score(LabelSet.of(ids, [[0.5, 0.5]] * 3), LabelSet.hard(ids, [1, 1, 1], 2))
    assert one_class["auroc"] is None and "class 0" in one_class["reasons"]["auroc"]
    assert one_class["accuracy"] == 0.0
    three = score(LabelSet.of(ids, [[0.6, 0.2, 0.2]] * 3), LabelSet.hard(ids, [0, 1, 2], 3))
    assert three["positive_rate"] is None and "3" in three["reasons"]["positive_rate"]
    empty = score(LabelSet.of(ids, [[0.5, 0.5]] * 3), LabelSet.hard(ids, [-1, -1, -1], 2))
    assert empty["n"] == 0
    assert set(empty["reasons"]) == {"accuracy", "auroc", "log_loss", "ece", "positive_rate", "gold_positive_rate"}


def test_unlabelled_gold_rows_are_left_out_and_abstentions_count_as_wrong():
    gold = LabelSet.hard(["a", "b", "c"], [0, 1, -1], 2)
    predicted = LabelSet.hard(["a", "b", "c"], [-1, 1, 0], 2)
    result = score(predicted, gold)
    assert scored_ids(gold).tolist() == ["a", "b"]
    assert (result["n"], result["abstained"], result["accuracy"]) == (2, 1, 0.5)
    assert result["auroc"] == 1.0  # 1/2 for the abstention, below the 1 of the positive
    assert correctness(predicted, gold).tolist() == [False, True]


def test_a_missing_prediction_and_other_classes_are_errors():
    gold = LabelSet.hard(["a", "b"], [0, 1], 2)
    with pytest.raises(AlignmentError, match="'b'"):
        score(LabelSet.hard(["a", "z"], [0, 1], 2), gold)
    with pytest.raises(DataError, match="3 classes and gold has 2"):
        score(LabelSet.hard(["a", "b"], [0, 1], 3), gold)
    assert score(LabelSet.hard(["a", "b", "z"], [0, 1, 1], 2), gold)["n"] == 2


def test_agreement_splits_by_whether_the_teacher_is_right():
    ids = names(6)
    gold = LabelSet.hard(ids, [0, 0, 1, 1, 1, 0], 2)
    weak = LabelSet.hard(ids, [0, 0, 1, 0, 0, -1], 2)  # right on 3, wrong on 2, silent on 1
    student = LabelSet.hard(ids[::-1], [0, 0, 1, 0, 0, 0], 2)  # for row0..row5: 0 0 0 1 0 0
    result = agreement(student, weak, gold)
    assert result["weak_right"] == {"agreement": pytest.approx(2 / 3), "n": 3}
    assert result["weak_wrong"] == {"agreement": 0.5, "n": 2}
    assert result["all"] == {"agreement": pytest.approx(3 / 5), "n": 5}


def test_agreement_without_errors_of_the_teacher_has_no_share_there():
    gold = LabelSet.hard(["a", "b"], [0, 1], 2)
    result = agreement(gold, gold, gold)
    assert (
        result["weak_wrong"]["agreement"] is None and result["weak_wrong"]["n"] == 0 and result["weak_wrong"]["reason"]
    )
    assert result["weak_right"] == {"agreement": 1.0, "n": 2}
