"""Exact neighbours against brute force, exact integers, scipy and scikit-learn; ties, rows far from zero, blocks,
memory.

Shapes: N reference rows, Q rows that ask, D features, k neighbours.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.blocks import neighbours
from w2s_ray.blocks.neighbours import nearest, neighbour_mean
from w2s_ray.core.errors import DataError

EVERY = [("apart", True), ("same", True), ("same", False)]


def brute(reference_ND: Any, query_QD: Any, k: int, itself: bool) -> tuple[Any, Any]:
    asked_QD = reference_ND if query_QD is None else query_QD
    squared_QN = ((asked_QD[:, None, :].astype(np.float64) - reference_ND[None].astype(np.float64)) ** 2).sum(axis=2)
    if query_QD is None and not itself:
        np.fill_diagonal(squared_QN, np.inf)
    indices_Qk = np.argsort(squared_QN, axis=1, kind="stable")[:, :k]
    return indices_Qk, np.sqrt(np.take_along_axis(squared_QN, indices_Qk, axis=1))


def rows(count: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(count, width))


@pytest.mark.parametrize(("query", "itself"), EVERY)
@pytest.mark.parametrize(("width", "kind"), [(1, "f8"), (3, "f4"), (40, "f4"), (300, "f8")])
def test_neighbours_are_those_of_brute_force_and_of_others(query: str, itself: bool, width: int, kind: str) -> None:
    from scipy.spatial import cKDTree
    from sklearn.neighbors import NearestNeighbors

    reference_ND = rows(150, width).astype(kind)
    query_QD = rows(70, width, seed=1).astype(kind) if query == "apart" else None
    indices_Qk, distances_Qk = nearest(reference_ND, query_QD, 7, itself=itself)
    expected_Qk, expected_distances_Qk = brute(reference_ND, query_QD, 7, itself)
    np.testing.assert_array_equal(indices_Qk, expected_Qk)
    np.testing.assert_allclose(distances_Qk, expected_distances_Qk, rtol=1e-14)
    asked_QD = reference_ND if query_QD is None else query_QD
    first = 0 if itself else 1
    tree_distances, tree_indices = cKDTree(reference_ND.astype(np.float64)).query(
        asked_QD.astype(np.float64), 7 + first
    )
    np.testing.assert_array_equal(indices_Qk, tree_indices[:, first:])
    np.testing.assert_allclose(distances_Qk, tree_distances[:, first:], rtol=1e-12)
    theirs = NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(reference_ND)
    np.testing.assert_array_equal(
        indices_Qk, theirs.kneighbors(None if not itself else asked_QD, return_distance=False)
    )


@given(
    points=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=25),
    k=st.integers(1, 24),
    itself=st.booleans(),
    offset=st.sampled_from([0, 10**7]),
)
def test_ties_go_to_the_lower_index(points: list[tuple[int, int]], k: int, itself: bool, offset: int) -> None:
    """Squared distances in whole numbers have no rounding: who is equally near is known."""
    k = min(k, len(points) - (not itself))
    indices_Qk, distances_Qk = nearest(np.array(points, dtype=np.float64) + offset, None, k, itself=itself)
    for n, (x, y) in enumerate(points):
        exact = sorted(((x - a) ** 2 + (y - b) ** 2, m) for m, (a, b) in enumerate(points) if itself or m != n)[:k]
        assert indices_Qk[n].tolist() == [m for _, m in exact]
        np.testing.assert_allclose(distances_Qk[n] ** 2, [squared for squared, _ in exact], atol=1e-12)


def test_rows_far_from_zero_and_close_together_are_told_apart() -> None:
    """Where |q|^2 + |x|^2 - 2 q.x alone is wrong."""
    near_ND = 1e8 + 1e-4 * rows(60, 5)
    lone_ND = near_ND.copy()
    lone_ND[7] = -1e13  # nor does one far row spoil the others
    for reference_ND in (near_ND, lone_ND):
        cancelled_NN = (reference_ND**2).sum(1)[:, None] + (reference_ND**2).sum(1) - 2 * reference_ND @ reference_ND.T
        expected_Nk, distances_Nk = brute(reference_ND, None, 4, True)
        assert (np.argsort(cancelled_NN, axis=1, kind="stable")[:, :4] != expected_Nk).any()
        found_Nk, found_distances_Nk = nearest(reference_ND, None, 4)
        np.testing.assert_array_equal(found_Nk, expected_Nk)
        np.testing.assert_allclose(found_distances_Nk, distances_Nk, rtol=1e-12)


def test_equal_rows_have_a_distance_of_zero_and_go_by_index() -> None:
    reference_ND = np.repeat(rows(3, 4), [3, 1, 2], axis=0)
    indices_Qk, distances_Qk = nearest(reference_ND, None, 3)
    assert indices_Qk[2].tolist() == [0, 1, 2]
    assert indices_Qk[4, :2].tolist() == indices_Qk[5, :2].tolist() == [4, 5]
    assert (distances_Qk[:3] == 0).all()
    assert nearest(reference_ND, None, 2, itself=False)[0][[0, 1, 2]].tolist() == [[1, 2], [0, 2], [0, 1]]
    assert nearest(np.ones((6, 2)), None, 2, itself=False)[0].tolist() == [[1, 2], [0, 2], *([[0, 1]] * 4)]


@pytest.mark.parametrize(("query", "itself"), EVERY)
def test_blocks_and_the_order_of_rows_do_not_move_a_digit(
    query: str, itself: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference_ND, query_QD = rows(90, 11), rows(40, 11, seed=1) if query == "apart" else None
    indices_Qk, distances_Qk = nearest(reference_ND, query_QD, 6, itself=itself)
    order = np.random.default_rng(2).permutation(90)
    moved_Qk, moved_distances_Qk = nearest(
        reference_ND[order], None if query_QD is None else query_QD, 6, itself=itself
    )
    back = np.arange(40) if query == "apart" else np.argsort(order)
    np.testing.assert_array_equal(order[moved_Qk][back], indices_Qk)
    np.testing.assert_array_equal(moved_distances_Qk[back], distances_Qk)
    for small in (1, 1000, 20_000):
        monkeypatch.setattr(neighbours, "BLOCK_BYTES", small)
        again_Qk, again_distances_Qk = nearest(reference_ND, query_QD, 6, itself=itself)
        np.testing.assert_array_equal(again_Qk, indices_Qk)
        np.testing.assert_array_equal(again_distances_Qk, distances_Qk)


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All distances of these rows at once would take 200 MB."""
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 1 << 20)
    reference_ND = rows(5000, 8).astype(np.float32)
    tracemalloc.start()
    try:
        nearest(reference_ND, None, 10)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()


def test_all_rows_may_be_asked_for_and_no_more() -> None:
    reference_ND = rows(5, 2)
    assert np.sort(nearest(reference_ND, None, 5)[0]).tolist() == [[0, 1, 2, 3, 4]] * 5
    assert nearest(reference_ND, None, 4, itself=False)[0].shape == (5, 4)
    assert nearest(reference_ND, np.empty((0, 2)), 3)[0].shape == (0, 3)
    for k, query_QD, itself in ((6, None, True), (5, None, False), (0, None, True), (6, reference_ND, True)):
        with pytest.raises(DataError, match=f"the {k} nearest of"):
            nearest(reference_ND, query_QD, k, itself=itself)
    with pytest.raises(DataError, match="nearest of 0 rows"):
        nearest(np.empty((0, 2)), None, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_features_that_have_no_distance_are_refused(bad: float) -> None:
    reference_ND, spoilt_ND = rows(5, 2), rows(5, 2)
    spoilt_ND[3, 1] = bad
    for given_ND, query_QD in ((spoilt_ND, None), (reference_ND, spoilt_ND), (spoilt_ND, reference_ND)):
        with pytest.raises(DataError, match="must be finite"):
            nearest(given_ND, query_QD, 2)
    with pytest.raises(DataError, match="same features"):
        nearest(reference_ND, rows(5, 3), 2)


def test_the_mean_of_neighbours_is_weighted() -> None:
    values_NK, weight_N = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]), np.array([1.0, 3.0, 2.0])
    np.testing.assert_allclose(
        neighbour_mean(np.array([[0, 1], [2, 2], [1, 2]]), values_NK, weight_N), [[0.75, 0.25], [0.5, 0.5], [0.8, 0.2]]
    )
