"""How surprising differences are: a permutation test for one comparison, and what many comparisons cost. Shapes: S
seeds, X tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2s_ray.core.labels import Floats
from w2s_ray.core.seeds import stream

MOST_EXACT = 12  # seeds: 4096 sign assignments
DRAWS = 9999  # beyond: with the observed assignment 10 000
ROUNDING = 1e-12  # of the sum of magnitudes: sums that are equal on paper differ by less


def sign_flip(difference_S: Floats, *, seed: int = 0) -> float:
    """Two-sided p of "each difference is symmetric about zero": the share of sign assignments whose sum is as far from
    zero as the observed one.

    Fisher 1935, The Design of Experiments, § 21. Exact up to 12 seeds, so never below 2 / 2^S; beyond, random
    assignments with the observed one counted among them (Phipson & Smyth 2010, doi 10.2202/1544-6115.1585, eq. 2).
    """
    size = len(difference_S)
    least = abs(float(difference_S.sum())) - ROUNDING * float(np.abs(difference_S).sum())
    if size <= MOST_EXACT:
        signs = 1.0 - 2.0 * ((np.arange(2**size)[:, None] >> np.arange(size)) & 1)
        return float((np.abs(signs @ difference_S) >= least).mean())
    signs = stream(seed, "sign-flip").choice([-1.0, 1.0], size=(DRAWS, size))
    return float((1 + (np.abs(signs @ difference_S) >= least).sum()) / (1 + DRAWS))


def holm(p_X: Sequence[float]) -> list[float]:
    """Adjusted for several tests (Holm 1979, Scand. J. Statist. 6, 65-70): the i-th smallest p times the number of
    tests not yet passed, never falling."""
    adjusted, worst = [0.0] * len(p_X), 0.0
    for passed, place in enumerate(sorted(range(len(p_X)), key=p_X.__getitem__)):
        worst = max(worst, min(1.0, (len(p_X) - passed) * p_X[place]))
        adjusted[place] = worst
    return adjusted
