"""One suite for every cleaner of the registry.

Shapes: N rows, D features, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from w2s_ray.blocks.cleaners.knn import Knn
from w2s_ray.blocks.cleaners.logistic import Logistic
from w2s_ray.blocks.cleaners.topofilter import TopoFilter
from w2s_ray.core.errors import AlignmentError, ConfigError, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.plugins import available, build

ALL: list[Any] = [
    Knn(),
    Knn(k=7),
    Logistic(),
    Logistic(l2=1e-2, standardise=True),
    TopoFilter(),
    TopoFilter(k_cc=12, k_zeta=9),
]
IDS = [f"r{n:03d}" for n in range(200)]
TRUTH = np.arange(200)
each = pytest.mark.parametrize("cleaner", ALL, ids=repr)
classes = pytest.mark.parametrize("num_classes", [2, 5])


def noisy(num_classes: int, seed: int = 0, wrong: float = 0.15) -> tuple[Features, LabelSet]:
    """Clusters of rows; soft labels, a share of which favours another class."""
    rng = np.random.default_rng(seed)
    truth_N = TRUTH % num_classes
    array_ND = 4 * np.eye(num_classes, 6)[truth_N] + rng.normal(size=(200, 6))
    named_N = np.where(rng.random(200) < wrong, (truth_N + rng.integers(1, num_classes, 200)) % num_classes, truth_N)
    scores_NK = np.exp(rng.normal(size=(200, num_classes)) * 0.3 + 3 * np.eye(num_classes)[named_N])
    weight_N = rng.uniform(0.5, 2, 200)
    return Features.of(IDS, array_ND), LabelSet.of(
        IDS, scores_NK / scores_NK.sum(axis=1, keepdims=True), weight_N=weight_N, source="weak"
    )


def right(labels: LabelSet) -> float:
    return float((labels.align(IDS).hard_N == TRUTH % labels.num_classes).mean())


def test_every_builtin_cleaner_is_here() -> None:
    assert {type(cleaner) for cleaner in ALL} == {
        plugin for plugin in available("w2s_ray.cleaners").values() if plugin.__module__.startswith("w2s_ray.")
    }


def test_defaults_are_the_published_ones() -> None:
    assert Knn().k == TopoFilter().k_cc == TopoFilter().k_zeta == 50
    assert Logistic().l2 == 1e-3
    assert build("w2s_ray.cleaners", "knn") == Knn()
    assert build("w2s_ray.cleaners", {"type": "topofilter", "k_cc": 5}) == TopoFilter(k_cc=5)
    with pytest.raises(ConfigError, match="unknown cleaner 'topofiltre' \\(did you mean 'topofilter'"):
        build("w2s_ray.cleaners", "topofiltre")


@each
@classes
def test_the_order_of_rows_decides_nothing(cleaner: Any, num_classes: int) -> None:
    features, labels = noisy(num_classes)
    relabelled, kept = cleaner.relabel(features, labels), cleaner.keep(features, labels)
    assert relabelled.ids.tolist() == IDS
    assert kept.tolist() == sorted(kept.tolist())
    for seed in range(3):
        rng = np.random.default_rng(seed)
        moved_features, moved_labels = features.align(rng.permutation(IDS)), labels.align(rng.permutation(IDS))
        moved = cleaner.relabel(moved_features, moved_labels)
        assert moved.ids.tolist() == moved_labels.ids.tolist()
        assert moved.digest == relabelled.digest
        moved_kept = cleaner.keep(moved_features, moved_labels)
        assert set(moved_kept) == set(kept)
        assert moved_kept.tolist() == [i for i in moved_labels.ids.tolist() if i in set(kept)]


@each
def test_equal_rows_in_another_order_are_cleaned_alike(cleaner: Any) -> None:
    """Ties everywhere: whole numbers as features, hard labels."""
    rng = np.random.default_rng(0)
    features = Features.of(IDS, rng.integers(0, 3, size=(200, 2)))
    labels = LabelSet.hard(IDS, rng.integers(0, 2, 200), 2)
    order = rng.permutation(IDS)
    assert (
        cleaner.relabel(features, labels).digest == cleaner.relabel(features.align(order), labels.align(order)).digest
    )
    assert set(cleaner.keep(features, labels)) == set(cleaner.keep(features.align(order), labels.align(order)))


@each
@classes
def test_names_of_classes_decide_nothing(cleaner: Any, num_classes: int) -> None:
    features, labels = noisy(num_classes)
    turn = np.roll(np.arange(num_classes), 1)
    turned = LabelSet.of(IDS, labels.probs_NK[:, turn], weight_N=labels.weight_N)
    np.testing.assert_allclose(
        cleaner.relabel(features, turned).probs_NK, cleaner.relabel(features, labels).probs_NK[:, turn], atol=1e-5
    )
    assert set(cleaner.keep(features, turned)) == set(cleaner.keep(features, labels))


@each
@classes
def test_mistakes_are_mended_and_dropped_before_what_is_right(cleaner: Any, num_classes: int) -> None:
    features, labels = noisy(num_classes)
    assert right(labels) < 0.9
    relabelled = cleaner.relabel(features, labels)
    assert right(relabelled) > 0.95 > right(labels)
    assert relabelled.weight_N.tolist() == labels.weight_N.tolist()
    assert (
        right(labels)
        < (
            labels.align(cleaner.keep(features, labels)).hard_N
            == TRUTH[np.isin(IDS, cleaner.keep(features, labels))] % num_classes
        ).mean()
    )


@each
@classes
def test_who_abstains_or_has_no_weight_has_no_vote_and_stays(cleaner: Any, num_classes: int) -> None:
    features, labels = noisy(num_classes)
    abstains_N, weightless_N = TRUTH % 10 == 3, TRUTH % 10 == 7
    quiet_N = abstains_N | weightless_N
    rest = [i for i, quiet in zip(IDS, quiet_N, strict=True) if not quiet]
    some = LabelSet.of(IDS, labels.probs_NK, mask_N=~abstains_N, weight_N=np.where(weightless_N, 0, labels.weight_N))
    relabelled, kept = cleaner.relabel(features, some), cleaner.keep(features, some, 0.2)
    np.testing.assert_array_equal(relabelled.mask_N, ~abstains_N)
    np.testing.assert_array_equal(relabelled.probs_NK[weightless_N], labels.probs_NK[weightless_N])
    assert relabelled.align(rest).digest == cleaner.relabel(features.align(rest), labels.align(rest)).digest
    assert set(kept) == set(cleaner.keep(features.align(rest), labels.align(rest), 0.2)) | set(np.array(IDS)[quiet_N])


@each
@classes
def test_a_contamination_is_a_share_of_rows(cleaner: Any, num_classes: int) -> None:
    features, labels = noisy(num_classes)
    least = len(cleaner.keep(features, labels, 0.0))
    assert least == 200 or isinstance(cleaner, TopoFilter)
    before = set(IDS)
    for contamination in (0.0, 0.1, 0.333, 0.9):
        kept = cleaner.keep(features, labels, contamination)
        assert len(kept) == min(least, 200 - round(200 * contamination))
        assert set(kept) <= before
        before = set(kept)
    assert len(cleaner.keep(features, labels, 0.9999)) == 1
    for bad in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="contamination is the share"):
            cleaner.keep(features, labels, bad)


@each
@classes
def test_other_rows_are_told_from_features_alone(cleaner: Any, num_classes: int) -> None:
    features, labels = noisy(num_classes)
    half = IDS[:100]
    said = cleaner.predict(features, labels.align(half), features.align(IDS[::-1]))
    assert said.ids.tolist() == IDS[::-1]
    assert said.mask_N.all()
    np.testing.assert_allclose(
        said.align(half).probs_NK, cleaner.relabel(features, labels.align(half)).probs_NK, atol=1e-12
    )
    assert (
        said.align(IDS[100:]).hard_N == TRUTH[100:] % num_classes
    ).mean() > 0.8  # a class has 20 voters among 50 neighbours


@each
@pytest.mark.parametrize(
    ("count", "array", "hard"),
    [
        (1, "normal", [1]),
        (2, "normal", [0, 1]),
        (3, "normal", [0, 1, 1]),
        (30, "constant", [0, 1]),
        (30, "normal", [1]),
        (30, "huge", [0, 1, 1]),
        (30, "wide", [0, 1]),
    ],
)
def test_odd_rows_give_labels_all_the_same(cleaner: Any, count: int, array: str, hard: list[int]) -> None:
    """One row, fewer than neighbours, one class, features that say nothing, are huge or more than rows."""
    normal_ND = np.random.default_rng(0).normal(size=(count, 300 if array == "wide" else 3))
    array_ND = {"constant": np.ones((count, 3)), "huge": 1e30 * normal_ND}.get(array, normal_ND)
    features, labels = Features.of(IDS[:count], array_ND), LabelSet.hard(IDS[:count], np.resize(hard, count), 2)
    relabelled = cleaner.relabel(features, labels)
    assert np.isfinite(relabelled.probs_NK).all()
    if len(set(hard)) == 1:
        np.testing.assert_allclose(relabelled.probs_NK[:, 1], 1, atol=1e-3)
    if array == "constant" and not isinstance(cleaner, (Knn, TopoFilter)):
        np.testing.assert_allclose(relabelled.probs_NK[:, 1], 0.5, atol=1e-6)
    assert 1 <= len(cleaner.keep(features, labels, 0.5)) <= count


@each
def test_rows_without_features_or_labels_are_refused(cleaner: Any) -> None:
    features, labels = noisy(2)
    with pytest.raises(AlignmentError):
        cleaner.relabel(features.align(IDS[:50]), labels)
    with pytest.raises(DataError, match="none of the 200 rows has a label"):
        cleaner.keep(features, LabelSet.of(IDS, labels.probs_NK, mask_N=np.zeros(200)))
