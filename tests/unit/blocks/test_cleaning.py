"""Cleaners against numbers worked out by hand, scikit-learn, and the published algorithm written out densely.

Shapes: N rows, D features, K classes, k neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor

from w2s_ray.blocks.cleaners.contract import most, surplus, total_variation
from w2s_ray.blocks.cleaners.knn import Knn
from w2s_ray.blocks.cleaners.logistic import Logistic
from w2s_ray.blocks.cleaners.topofilter import TopoFilter, largest_components
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet


def line(**rows: tuple[float, float]) -> tuple[Features, LabelSet]:
    """Rows on a line: place and P(1) by id."""
    probs = np.array([p for _, p in rows.values()])
    return Features.of(list(rows), np.array([[x] for x, _ in rows.values()])), LabelSet.of(
        list(rows), np.stack([1 - probs, probs], axis=1)
    )


def p1(labels: LabelSet) -> dict[str, float]:
    return {str(i): round(float(p), 9) for i, p in zip(labels.ids, labels.probs_NK[:, 1], strict=True)}


def overlapping(num_classes: int, count: int = 240, width: int = 4) -> tuple[Any, Any]:
    """Rows of classes that overlap, and soft labels with a mind of their own."""
    rng = np.random.default_rng(num_classes)
    truth_N = rng.integers(0, num_classes, count)
    array_ND = (1.5 * rng.normal(size=(num_classes, width))[truth_N] + rng.normal(size=(count, width))).astype(
        np.float32
    )
    return array_ND, rng.dirichlet(np.full(num_classes, 0.4), count) * 0.5 + 0.5 * np.eye(num_classes)[truth_N]


# kNN


def test_knn_by_hand() -> None:
    features, labels = line(a=(0, 0.0), b=(1, 0.3), c=(1.9, 0.9), d=(9, 1.0))
    assert p1(Knn(k=2).relabel(features, labels)) == {"a": 0.15, "b": 0.6, "c": 0.6, "d": 0.95}
    assert p1(Knn(k=1).relabel(features, labels)) == p1(labels)
    assert p1(Knn(k=50).relabel(features, labels)) == dict.fromkeys("abcd", 0.55)  # all, where there are fewer
    # |label - expected|: .15, .3, .3, .05
    assert Knn(k=2).keep(features, labels, 0.25).tolist() == ["a", "c", "d"]  # b and c are off alike
    assert Knn(k=2).keep(features, labels, 0.5).tolist() == ["a", "d"]
    heavy = LabelSet.of(labels.ids, labels.probs_NK, weight_N=[1, 2, 1, 1])
    assert p1(Knn(k=2).relabel(features, heavy))["a"] == 0.2


def test_of_rows_equally_near_or_doubtful_the_first_id_counts() -> None:
    features, labels = line(c=(0, 0.5), b=(1, 1.0), a=(-1, 0.0))
    assert p1(Knn(k=2).relabel(features, labels))["c"] == 0.25  # itself and a
    features, labels = line(d=(0, 0.0), b=(0.1, 1.0), c=(5, 0.0), a=(5.1, 1.0))
    assert Knn(k=2).keep(features, labels, 0.5).tolist() == ["d", "c"]


@pytest.mark.parametrize("num_classes", [2, 5])
def test_knn_is_that_of_scikit_learn(num_classes: int) -> None:
    array_ND, probs_NK = overlapping(num_classes)
    ids = [f"r{n:03d}" for n in range(240)]
    found = Knn().relabel(Features.of(ids, array_ND), LabelSet.of(ids, probs_NK))
    theirs = KNeighborsRegressor(n_neighbors=50, algorithm="brute").fit(array_ND.astype(np.float64), probs_NK)
    np.testing.assert_allclose(found.probs_NK, theirs.predict(array_ND.astype(np.float64)), atol=1e-12)


# logistic regression


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("l2", [1e-3, 1e-2])
def test_logistic_is_that_of_scikit_learn_on_features_as_they_are(num_classes: int, l2: float) -> None:
    """mean CE + l2 |W|^2 is theirs for C = 1 / (2 l2 N); features of very different sizes, so that standardising them
    would show."""
    array_ND, probs_NK = overlapping(num_classes)
    array_ND = (array_ND * [0.05, 1, 1, 20] + [0, 3, -100, 0]).astype(np.float32)
    named_N, weight_N = probs_NK.argmax(axis=1), np.random.default_rng(0).uniform(0.2, 2, 240)
    ids = [f"r{n:03d}" for n in range(240)]
    features, labels = Features.of(ids, array_ND), LabelSet.hard(ids, named_N, num_classes)
    weighted = LabelSet.of(ids, labels.probs_NK, weight_N=weight_N)
    for given, weights in ((labels, np.ones(240)), (weighted, weight_N)):
        found = Logistic(l2=l2).relabel(features, given)
        theirs = LogisticRegression(C=1 / (2 * l2 * weights.sum()), solver="newton-cholesky", tol=1e-12, max_iter=1000)
        theirs.fit(array_ND.astype(np.float64) - [0, 3, -100, 0], named_N, sample_weight=weights)
        np.testing.assert_allclose(
            found.probs_NK, theirs.predict_proba(array_ND.astype(np.float64) - [0, 3, -100, 0]), atol=1e-5
        )
        assert not np.allclose(
            found.probs_NK, Logistic(l2=l2, standardise=True).relabel(features, given).probs_NK, atol=1e-3
        )


def test_a_soft_label_is_a_share_of_a_row() -> None:
    """A row of P(1) = .3 is three tenths of a row of class 1 and seven tenths of one of class 0."""
    array_ND, probs_NK = overlapping(2)
    ids = [f"r{n:03d}" for n in range(240)]
    found = Logistic().relabel(Features.of(ids, array_ND), LabelSet.of(ids, probs_NK))
    twice = LogisticRegression(C=1 / (2 * 1e-3 * 240), tol=1e-12, max_iter=5000)
    twice.fit(
        np.concatenate([array_ND, array_ND]).astype(np.float64),
        np.repeat([0, 1], 240),
        sample_weight=probs_NK.T.ravel(),
    )
    np.testing.assert_allclose(found.probs_NK, twice.predict_proba(array_ND.astype(np.float64)), atol=1e-5)


def test_logistic_drops_who_is_farthest_from_the_curve() -> None:
    features, labels = line(
        a=(0, 0.0), b=(1, 0.0), c=(2, 1.0), d=(7, 0.0), e=(8, 1.0), f=(9, 1.0), g=(10, 1.0), h=(3, 0.0)
    )
    doubt = {
        str(i): abs(p - q)
        for i, p, q in zip(
            labels.ids, Logistic().relabel(features, labels).probs_NK[:, 1], labels.probs_NK[:, 1], strict=True
        )
    }
    assert set(sorted(doubt, key=lambda i: -doubt[i])[:2]) == {"c", "d"}
    assert set(Logistic().keep(features, labels, 0.25)) == set("abefgh")


# TopoFilter

# Two nearest of each, ties to those of its class alone: a <-> b, c -> b, d -> c; m stands among them with the other
# label; e, f, g, h hang together; i <-> j.
PLACES = {
    "a": (0, 0.1),
    "b": (1, 0.3),
    "c": (2.1, 0.2),
    "d": (3.3, 0.0),
    "m": (1.4, 0.8),
    "e": (10, 0.9),
    "f": (11, 0.7),
    "g": (12.1, 0.6),
    "h": (13.3, 1.0),
}
PAIR = {"i": (20, 0.0), "j": (21, 0.0)}


def test_topofilter_by_hand() -> None:
    """Strong components, not weak ones: of class 0 {a, b}, though c and d point at them, and though {i, j} is as large;
    of class 1 {e, f, g, h}."""
    features, labels = line(**PLACES, **PAIR)
    topo = TopoFilter(k_cc=2, k_zeta=2)
    survivors = ["a", "b", "e", "f", "g", "h"]
    assert topo.keep(features, labels, 0.0).tolist() == survivors
    assert topo.keep(features, labels, 0.4).tolist() == survivors  # 5 of 11 are gone, more than 4
    # Their two nearest survivors' means: a (.3 + .9)/2, b (.1 + .9)/2, e (.7 + .6)/2, f (.9 + .6)/2, g (.7 + 1)/2, h
    # (.6 + .7)/2; so they are off by a .5, b .2, e .25, f .05, g .25, h .35.
    assert topo.keep(features, labels, 0.55).tolist() == ["b", "e", "f", "g", "h"]  # round(6.05) = 6
    assert topo.keep(features, labels, 0.6).tolist() == ["b", "e", "f", "g"]  # round(6.6) = 7
    relabelled = p1(topo.relabel(features, labels))
    assert relabelled == dict.fromkeys("abcdm", 0.2) | {"e": 0.8, "f": 0.8, "g": 0.65, "h": 0.8, "i": 0.8, "j": 0.8}


def test_of_equally_large_components_the_one_with_the_lowest_id_stays() -> None:
    features, labels = line(**{{"i": "A", "j": "B"}.get(name, name): row for name, row in {**PLACES, **PAIR}.items()})
    assert set(TopoFilter(k_cc=2).keep(features, labels, 0.0)) == set("ABefgh")


def test_components_of_a_drawn_graph() -> None:
    """0 -> 1 -> 2 -> 0 is a circle, 3 points into it, 4 <-> 5 is another class, whose 6 is pointed at by 5 only; 7 is
    alone in its class."""
    indices_Nk = np.array([[1, 4], [2, 4], [0, 3], [0, 1], [5, 0], [4, 6], [7, 0], [0, 6]])
    class_N = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    # 2 -> 3 -> 0 closes another circle
    assert np.flatnonzero(largest_components(indices_Nk, class_N)).tolist() == [0, 1, 2, 3, 4, 5, 7]
    indices_Nk[2, 1] = 6
    assert np.flatnonzero(largest_components(indices_Nk, class_N)).tolist() == [0, 1, 2, 4, 5, 7]


def test_a_label_in_the_middle_is_of_the_lower_class() -> None:
    """As `label > .5` has it."""
    features, labels = line(a=(0, 0.5), b=(1, 0.0), c=(2, 0.5), x=(50, 0.51), y=(51, 1.0))
    assert set(TopoFilter(k_cc=1).keep(features, labels, 0.0)) == {"a", "b", "x", "y"}  # c -> b alone
    assert set(TopoFilter(k_cc=2).keep(features, labels, 0.0)) == set("abcxy")


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize(("k_cc", "k_zeta"), [(3, 5), (5, 5), (30, 20)])
@pytest.mark.parametrize("contamination", [0.1, 0.4])
def test_topofilter_is_the_published_one(num_classes: int, k_cc: int, k_zeta: int, contamination: float) -> None:
    """Reachability by powers of the adjacency matrix, and everything else by full matrices."""
    array_ND, probs_NK = overlapping(num_classes)
    ids = np.array([f"r{n:03d}" for n in range(240)])
    features, labels, topo = (
        Features.of(ids, array_ND),
        LabelSet.of(ids, probs_NK),
        TopoFilter(k_cc=k_cc, k_zeta=k_zeta),
    )

    def among(rows: Any, k: int) -> Any:
        distance_NN = np.linalg.norm(rows[:, None].astype(np.float64) - rows[None], axis=2)
        np.fill_diagonal(distance_NN, np.inf)
        return distance_NN.argsort(axis=1)[:, :k]

    class_N = probs_NK.argmax(axis=1)
    reach_NN = np.eye(240, dtype=bool)
    reach_NN[np.arange(240)[:, None], among(array_ND, k_cc)] = True
    reach_NN &= class_N[:, None] == class_N
    for _ in range(8):
        reach_NN = (reach_NN.astype(int) @ reach_NN.astype(int)) > 0
    mutual_NN = reach_NN & reach_NN.T
    survives_N = np.zeros(240, dtype=bool)
    for k in range(num_classes):
        survives_N |= mutual_NN[np.where(class_N == k, mutual_NN.sum(axis=1), -1).argmax()]
    inner_NK = probs_NK[survives_N]
    off_N = 0.5 * np.abs(inner_NK - inner_NK[among(array_ND[survives_N], k_zeta)].mean(axis=1)).sum(axis=1)
    more = max(0, round(contamination * 240) - int((~survives_N).sum()))
    expected = set(ids[survives_N][np.argsort(off_N)[: len(off_N) - more]])
    assert set(topo.keep(features, labels, contamination)) == expected
    theirs = KNeighborsRegressor(n_neighbors=k_zeta, algorithm="brute").fit(
        array_ND[survives_N].astype(np.float64), inner_NK
    )
    np.testing.assert_allclose(
        topo.relabel(features, labels).probs_NK, theirs.predict(array_ND.astype(np.float64)), atol=1e-12
    )


# what they share


def test_total_variation_of_two_classes_is_the_difference_of_p1() -> None:
    p_N, q_N = np.array([0.1, 0.5, 1.0]), np.array([0.9, 0.5, 0.25])
    np.testing.assert_allclose(
        total_variation(np.stack([1 - p_N, p_N], 1), np.stack([1 - q_N, q_N], 1)), np.abs(p_N - q_N)
    )
    assert total_variation(np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.2, 0.6]])).tolist() == pytest.approx([0.4])


def test_how_many_rows_go() -> None:
    assert [surplus(0.1, count) for count in (1, 4, 6, 100)] == [0, 0, 1, 10]
    assert surplus(0.29, 100) == 29  # 28 if it were cut off: .29 * 100 is below 29 in binary
    assert surplus(0.99, 2) == 1
    assert most(np.array([0.2, 0.7, 0.7, 0.1, 0.7]), 2).tolist() == [1, 2]


@pytest.mark.parametrize(
    "cleaner", [Knn(k=7), Logistic(), TopoFilter(k_cc=9, k_zeta=7)], ids=lambda cleaner: cleaner.type
)
def test_which_text_of_a_pair_was_drawn_first_decides_nothing(cleaner):
    """A preference's features are a difference: turned round, row by row, the labels that come out are turned round,
    and the same rows stay."""
    rng = np.random.default_rng(5)
    x_ND, p_N = rng.normal(size=(60, 4)), rng.random(60)
    ids = [f"r{n:02}" for n in range(60)]
    turn_N = rng.random(60) < 0.5
    sign_N = np.where(turn_N, -1.0, 1.0)
    one = Features.of(ids, x_ND, signed=True), LabelSet.of(ids, np.stack([1 - p_N, p_N], axis=1))
    q_N = np.where(turn_N, 1 - p_N, p_N)
    other = Features.of(ids, x_ND * sign_N[:, None], signed=True), LabelSet.of(ids, np.stack([1 - q_N, q_N], axis=1))
    said, turned = cleaner.relabel(*one).probs_NK[:, 1], cleaner.relabel(*other).probs_NK[:, 1]
    np.testing.assert_allclose(np.where(turn_N, 1 - turned, turned), said, atol=1e-6)
    assert set(cleaner.keep(*one, 0.2)) == set(cleaner.keep(*other, 0.2))
    assert len(cleaner.keep(*one, 0.2)) <= 48
