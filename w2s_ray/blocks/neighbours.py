"""Exact nearest neighbours by Euclidean distance, for methods that let rows near each other speak for one another.

A product of matrices bounds every distance from below and above: |q - x|^2 = |q|^2 + |x|^2 - 2 q.x, up to a rounding
error that has a known bound (Higham 2002, "Accuracy and Stability of Numerical Algorithms", § 3.1), which matters where
rows lie close together and far from zero. What the bounds cannot rule out is measured again as a difference. So who is
near, and how near, follows from the two rows alone: not from blocks, threads or the order of the rows, which decides
ties and nothing else. Memory is a few times `BLOCK_BYTES` beside the features; time is that of the product, 2 Q N D
operations.

Shapes: N reference rows, Q rows that ask, D features, k neighbours, P pairs of rows, K values a row (classes).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import Floats

Indices = npt.NDArray[np.intp]
Rows = npt.NDArray[np.floating]

BLOCK_BYTES = 1 << 27
LARGEST = 1e150  # squares of larger numbers overflow


def nearest(reference_ND: Rows, query_QD: Rows | None, k: int, *, itself: bool = True) -> tuple[Indices, Floats]:
    """(indices_Qk, distances_Qk): each asking row's k nearest reference rows, nearest first; of equally near ones, the
    lower index.

    Without a query the reference rows ask; a row then counts among its own neighbours unless `itself` is false (it has
    no precedence over a row that is equal to it). To have ties go by id, give rows in the order of their ids.
    """
    asked_QD = reference_ND if query_QD is None else query_QD
    alone = query_QD is None and not itself
    if asked_QD.ndim != 2 or reference_ND.ndim != 2 or asked_QD.shape[1] != reference_ND.shape[1]:
        raise DataError(
            f"rows and those that ask must be [rows, features] with the same features; got shapes {reference_ND.shape}"
            f" and {asked_QD.shape}"
        )
    available = len(reference_ND) - alone
    if not 1 <= k <= available:
        raise DataError(
            f"asked for the {k} nearest of {max(available, 0)} rows; k must be from 1 to the number of"
            f" rows{' besides the one that asks' * alone}"
        )
    # Nearer to zero, the bounds are tighter.
    centre_D = np.sum([_finite(block).sum(axis=0) for block in _blocks(reference_ND)], axis=0) / len(reference_ND)
    norm_N = np.concatenate([_squares(block - centre_D) for block in _blocks(reference_ND)])
    indices_Qk, squared_Qk = np.empty((len(asked_QD), k), dtype=np.intp), np.empty((len(asked_QD), k))
    step = max(1, BLOCK_BYTES // (8 * max(reference_ND.shape)))
    for start in range(0, len(asked_QD), step):
        block_QD = _finite(np.asarray(asked_QD[start : start + step], dtype=np.float64))
        near_QN = _near(block_QD - centre_D, reference_ND, centre_D, norm_N, k, first=start if alone else None)
        asking_P, index_P = np.nonzero(near_QN)
        squared_P = _measured(block_QD, asking_P, reference_ND, index_P)
        order_P = np.lexsort((index_P, squared_P, asking_P))
        chosen_Qk = order_P[np.searchsorted(asking_P, np.arange(len(block_QD)))[:, None] + np.arange(k)]
        indices_Qk[start : start + step], squared_Qk[start : start + step] = index_P[chosen_Qk], squared_P[chosen_Qk]
    return indices_Qk, np.sqrt(squared_Qk)


def neighbour_mean(indices_Qk: Indices, values_NK: Floats, weight_N: Floats) -> Floats:
    """Mean of the neighbours' values, weighted by weights above 0."""
    sum_QK, weight_Q1 = np.zeros((len(indices_Qk), values_NK.shape[1])), np.zeros((len(indices_Qk), 1))
    for index_Q in indices_Qk.T:  # one neighbour at a time needs no [Q, k, K]
        sum_QK += weight_N[index_Q, None] * values_NK[index_Q]
        weight_Q1 += weight_N[index_Q, None]
    return sum_QK / weight_Q1


def _near(
    centred_QD: Floats, reference_ND: Rows, centre_D: Floats, norm_N: Floats, k: int, first: int | None
) -> npt.NDArray[np.bool_]:
    """Pairs that may be among the k nearest: the lower bound of their distance is not above the k-th smallest upper
    bound.

    With u the unit roundoff, products and norms err by at most about D u (|q| + |x|)^2 <= 2 D u (|q|^2 + |x|^2) (Higham
    2002, § 3.1), centring and the measured differences by a few tens of u. `slack` is twice that. Row `first` + n of
    the reference is the n-th that asks, and no neighbour of itself.
    """
    slack = 2 * (centred_QD.shape[1] + 64) * np.finfo(np.float64).eps
    doubled_QD, norm_Q1 = -2 * centred_QD, _squares(centred_QD)[:, None]
    upper_QN = np.concatenate([doubled_QD @ (block - centre_D).T for block in _blocks(reference_ND)], axis=1)
    upper_QN += (1 + slack) * norm_N  # less (1 + slack) |q|^2, which is the same for all
    if first is not None:
        upper_QN[np.arange(len(upper_QN)), first + np.arange(len(upper_QN))] = np.inf
    limit_Q1 = np.partition(upper_QN, k - 1, axis=1)[:, k - 1 : k]
    upper_QN -= 2 * slack * norm_N
    near_QN: npt.NDArray[np.bool_] = upper_QN <= limit_Q1 + 2 * slack * norm_Q1
    return near_QN


def _measured(query_QD: Floats, asking_P: Indices, reference_ND: Rows, index_P: Indices) -> Floats:
    """Squared distances of pairs, by differences."""
    step = max(1, BLOCK_BYTES // (16 * max(1, query_QD.shape[1])))
    parts = [slice(start, start + step) for start in range(0, len(index_P), step)]
    return np.concatenate(
        [np.zeros(0), *(_squares(query_QD[asking_P[part]] - reference_ND[index_P[part]]) for part in parts)]
    )


def _squares(rows_ND: Floats) -> Floats:
    """Squared lengths, each row summed in the same order wherever it stands."""
    squares_N: Floats = np.square(rows_ND).sum(axis=1)
    return squares_N


def _blocks(rows_ND: Rows) -> Iterator[Floats]:
    step = max(1, BLOCK_BYTES // (8 * max(1, rows_ND.shape[1])))
    for start in range(0, len(rows_ND), step):
        yield np.asarray(rows_ND[start : start + step], dtype=np.float64)


def _finite(rows_ND: Floats) -> Floats:
    if not (np.abs(rows_ND) < LARGEST).all():
        raise DataError(
            f"features must be finite and below {LARGEST:g}; some are NaN, infinite or larger; look at the model and"
            " layer that they come from"
        )
    return rows_ND
