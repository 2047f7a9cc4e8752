"""PGR and the rule for when there is a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.core.errors import DataError
from w2s_ray.eval.gap import measure_gap, recovered
from w2s_ray.eval.measure import Accuracy


def right(count, n):
    return Accuracy(np.arange(n) < count)


@pytest.mark.parametrize(("student", "pgr"), [(0.6, 0.0), (0.7, 0.5), (0.8, 1.0), (0.5, -0.5), (0.9, 1.5)])
def test_pgr_is_linear_between_floor_and_ceiling_and_beyond(student, pgr):
    assert recovered(0.6, student, 0.8) == pytest.approx(pgr)


def test_published_example():
    """AlexNet to DINO ViT-B/8: 56.6, 66.6 and 74.0 top-1 give 57.5 % (open-sourced vision demo of Burns et al.
    2023)."""
    assert recovered(0.566, 0.666, 0.740) == pytest.approx(0.575, abs=5e-4)


def test_no_ratio_without_a_gap():
    assert recovered(0.7, 0.8, 0.7) is None
    assert recovered(0.7, 0.65, 0.6) is None


def test_a_clear_gap():
    gap = measure_gap(right(600, 1000), right(700, 1000), right(800, 1000))
    assert (gap.status, gap.pgr, gap.reason, gap.num_test) == ("ok", pytest.approx(0.5), "", 1000)
    assert (gap.floor, gap.student, gap.ceiling) == (0.6, 0.7, 0.8)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_the_rule_is_the_paired_t_statistic(rows):
    floor, ceiling = (np.array(column) for column in zip(*rows, strict=True))
    gap = measure_gap(Accuracy(floor), Accuracy(floor), Accuracy(ceiling))
    # McNemar's counts: the variance of the difference in terms of the two kinds of discordant rows.
    n, won, lost = len(rows), int((ceiling & ~floor).sum()), int((floor & ~ceiling).sum())
    error = np.sqrt(((won + lost) / n - ((won - lost) / n) ** 2) / (n - 1))
    assert gap.standard_error == pytest.approx(error, abs=1e-12)
    if abs((won - lost) / n - 2 * error) > 1e-9:
        assert (gap.status == "ok") == (won > lost and (won - lost) / n > 2 * error)
    assert (gap.pgr is None) == (gap.status == "no_gap") == bool(gap.reason)


def test_pairing_finds_a_gap_that_unpaired_errors_would_miss():
    floor, ceiling = right(500, 1000), right(520, 1000)  # unpaired: 2 points against an error of 2.2
    assert measure_gap(floor, floor, ceiling).status == "ok"
    unaligned = ceiling.ordered(np.roll(np.arange(1000), 500))  # the same accuracies on other rows
    assert measure_gap(floor, floor, unaligned).status == "no_gap"


def test_the_reasons_are_sentences_with_the_numbers():
    below = measure_gap(right(7, 10), right(7, 10), right(6, 10))
    assert below.reason == "The ceiling (60.0%) is not above the floor (70.0%) on 10 test rows."
    noisy = measure_gap(right(7, 10), right(8, 10), right(8, 10))
    assert "by 10.0 points, not more than 2 standard errors of 10.0 points (paired, 10 test rows)." in noisy.reason
    assert measure_gap(right(0, 1), right(1, 1), right(1, 1)).reason.startswith("One test row")
    assert measure_gap(right(7, 10), right(8, 10), right(8, 10), min_errors=0.5).status == "ok"


def test_no_gap_keeps_the_raw_accuracies():
    gap = measure_gap(right(7, 10), right(9, 10), right(7, 10))
    assert (gap.pgr, gap.floor, gap.student, gap.ceiling) == (None, 0.7, 0.9, 0.7)


def test_other_rows_are_an_error():
    with pytest.raises(DataError, match="got 3, 4, 3"):
        measure_gap(right(1, 3), right(1, 4), right(1, 3))
    with pytest.raises(DataError, match="at least one"):
        measure_gap(right(0, 0), right(0, 0), right(0, 0))


def test_without_a_floor_there_is_no_ratio_and_the_rest_stays():
    gap = measure_gap(None, right(7, 10), right(9, 10))
    assert (gap.status, gap.pgr, gap.floor, gap.standard_error) == ("no_floor", None, None, None)
    assert (gap.student, gap.ceiling, gap.num_test) == (0.7, 0.9, 10)
    assert gap.reason == "The weak labels have none of the test rows, so there is no floor."
    with pytest.raises(DataError, match="got 4, 3"):
        measure_gap(None, right(1, 4), right(1, 3))
