"""The sign-flip test against brute force and another implementation, and Holm's adjustment by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test

from w2s_ray.eval.significance import DRAWS, MOST_EXACT, holm, sign_flip


def brute_force(values):
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return sum(total >= sums[0] for total in sums) / len(sums)  # the first assignment is the observed one


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 12])
def test_agrees_with_brute_force(size):
    rng = np.random.default_rng(size)
    for _ in range(5):
        whole = rng.integers(-6, 7, size)  # whole numbers have many ties, and no rounding
        assert sign_flip(whole.astype(float)) == brute_force(whole.tolist())
        assert sign_flip(whole / 300) == brute_force(whole.tolist()), "rounding makes no difference"


def test_agrees_with_scipy():
    values = np.random.default_rng(0).normal(0.4, 1.0, 9)
    other = permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values) == pytest.approx(other.pvalue)


@pytest.mark.parametrize("size", range(1, MOST_EXACT + 1))
def test_the_smallest_p_is_two_over_two_to_the_seeds(size):
    assert sign_flip(np.linspace(0.1, 0.2, size)) == 2 / 2**size


def test_no_difference_is_no_surprise():
    assert sign_flip(np.zeros(4)) == 1.0
    assert sign_flip(np.array([0.1, 0.2, -0.3])) == 1.0, "0.1 + 0.2 - 0.3 is zero on paper"
    assert sign_flip(np.zeros(30)) == 1.0


def test_many_seeds_are_sampled_reproducibly_and_close_to_exact():
    values = np.random.default_rng(3).integers(-3, 6, 15).astype(float)
    assert sign_flip(values) == sign_flip(values)
    exact = brute_force(values.tolist())
    assert sign_flip(values) == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / DRAWS))
    assert sign_flip(np.ones(40)) == 1 / (DRAWS + 1)


def test_it_keeps_its_level():
    """Under symmetry P(p <= a) <= a, and for a = 2 / 2^6 it is met without ties."""
    rng = np.random.default_rng(4)
    p = np.array([sign_flip(rng.normal(size=6)) for _ in range(3000)])
    assert np.mean(p <= 2 / 64) == pytest.approx(2 / 64, abs=0.012)
    assert np.mean(p <= 0.25) == pytest.approx(0.25, abs=0.03)


def test_holm_by_hand():
    # Sorted: .005 x 4 = .02; .01 x 3 = .03; .03 x 2 = .06; .04 x 1 = .04, which may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.25]) == [0.25]
    assert holm([]) == []
    assert holm([0.02, 0.02]) == [0.04, 0.04]
