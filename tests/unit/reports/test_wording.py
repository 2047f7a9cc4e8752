"""How numbers and their absence read: percent, ratios, intervals, leads, times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.reports.wording import (
    SCALES,
    duration,
    percent,
    ratio,
    ratio_difference,
)

ACCURACY, AUROC = SCALES["accuracy"], SCALES["auroc"]


@given(st.floats(-1, 1))
def test_no_number_that_rounds_to_nothing_has_a_sign(value: float) -> None:
    for text in (ACCURACY.lead(value), AUROC.lead(value), ratio_difference(value)):
        assert (float(text) == 0) == (text[0] not in "+-"), text
        assert text[0] != "-" or value < 0
    assert float(ratio(value)) != 0 or ratio(value) == "0.00"


@given(st.floats(0, 1))
def test_what_is_shown_is_the_number_but_for_half_of_the_last_digit(value: float) -> None:
    assert float(percent(value).removesuffix(" %")) == pytest.approx(100 * value, abs=0.051)
    assert ACCURACY.show(value) == percent(value)
    assert float(AUROC.show(value)) == pytest.approx(value, abs=0.00051)
    assert float(ratio(value)) == pytest.approx(value, abs=0.0051)


@given(st.floats(60, 1e6))
def test_a_time_reads_back_as_itself(seconds: float) -> None:
    number, unit, *rest = duration(seconds).split()
    told = int(number) * {"min": 60, "h": 3600}[unit]
    told += int(rest[0]) * {"s": 1, "min": 60}[rest[1]]
    assert told == pytest.approx(seconds, abs=0.51 if unit == "min" else 60.51)
    assert int(rest[0]) < 60
