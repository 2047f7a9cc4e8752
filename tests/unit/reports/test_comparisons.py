"""Methods against the baseline: the page's section and the terminal's lines, word for word."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from w2s_ray.core.errors import InputError
from w2s_ray.reports.markdown import report
from w2s_ray.reports.pages.comparisons import in_brief
from w2s_ray.reports.schema import parse
from w2s_ray.reports.wording import SCALES, ratio_difference

SETTING = {"task": "topic", "weak": "world/nano", "strong": "world/small"}
ROW = {
    "method": "log|conf", "baseline": "naive", **SETTING, "num_seeds": 2, "difference": {"mean": -0.0384,
    "low": -0.062, "high": 0.0001},
    "wins": 0, "losses": 1, "ties": 1, "p": 1.0, "p_holm": 1.0, "pgr_difference": {"median": -0.207, "num_cells": 2},
    "left_out": [{"seed": 2, "reason": "log|conf has no score for it."}],
}  # fmt: skip
OVERALL = {
    **{key: value for key, value in ROW.items() if key not in {*SETTING, "left_out"}}, "num_seeds": 3, "num_tasks": 2,
    "num_groups": 3, "num_cells": 8,
    "wins": 7, "ties": 0, "p": 0.25, "p_holm": 0.5, "pgr_difference": {"median": None, "num_cells": 0},
}  # fmt: skip

SECTION = (Path(__file__).parents[2] / "golden" / "comparisons.md").read_text(encoding="utf-8")


@pytest.fixture
def compared(results):
    skipped = [{"method": "oracle", **SETTING, "reason": "No seed is scored for both oracle and naive."}]
    return results | {
        "comparisons": {
            "num_tests": 2,
            "pairs": [copy.deepcopy(ROW)],
            "overall": [copy.deepcopy(OVERALL)],
            "skipped": skipped,
        }
    }


def section(results):
    return "## Methods compared" + report(results).partition("## Methods compared")[2].partition("\n## ")[0]


def test_the_section_word_for_word(compared):
    assert section(compared) == SECTION


def test_a_study_of_one_method_has_no_section(results):
    assert "Methods compared" not in report(results)
    assert in_brief(parse(results)) == []


def test_nothing_could_be_compared(compared):
    compared["comparisons"] |= {"num_tests": 0, "pairs": [], "overall": []}
    assert (
        "No method could be compared." in section(compared)
        and "Not compared: oracle" in section(compared)
        and "sign-flip" not in section(compared)
    )
    compared["comparisons"]["skipped"] = []
    assert section(compared).rstrip().endswith("No method could be compared.")


def test_one_comparison_is_adjusted_for_itself(compared):
    compared["comparisons"] |= {"num_tests": 1, "overall": []}
    text = section(compared)
    assert (
        "The table makes 1 comparison; p (Holm) is adjusted for it (Holm 1979)." in text
        and "with 2, 0.5." in text
        and "Rows `all`" not in text
    )


def test_methods_that_saw_gold_are_marked(compared):
    compared["comparisons"]["pairs"][0]["method"] = "oracle"
    assert "| oracle † | naive | topic |" in section(compared)


def test_a_few_lines_on_the_terminal(compared):
    assert in_brief(parse(compared)) == ["Accuracy, log|conf − naive: -3.8 points [-6.2, 0.0], better in 7 of 8 cells."]
    compared["comparisons"]["overall"] = []
    assert in_brief(parse(compared)) == ["Accuracy, log|conf − naive: -3.8 points [-6.2, 0.0], better in 0 of 2 cells."]
    compared["comparisons"]["pairs"] *= 4
    assert in_brief(parse(compared)) == [], "a table for the page"


@pytest.mark.parametrize(
    ("key", "value"),
    [("p", 0.0), ("p_holm", 1.1), ("wins", -1), ("difference", {"mean": 0.1, "low": 0.3, "high": 0.2})],
)
def test_numbers_that_cannot_be_are_refused(compared, key, value):
    compared["comparisons"]["pairs"][0][key] = value
    with pytest.raises(InputError, match=rf"comparisons.pairs.0.{key}"):
        parse(compared)


@pytest.mark.parametrize(("value", "text"), [(0.0123, "+1.2"), (-0.0384, "-3.8"), (-0.0004, "0.0"), (0.0, "0.0")])
def test_points(value, text):
    assert SCALES["accuracy"].lead(value) == text


def test_a_study_in_roc_auc_says_so(compared):
    compared["metric"] = "auroc"
    text = section(compared)
    assert (
        "| difference in ROC-AUC [95 %] |" in text
        and "| -0.038 [-0.062, 0.000] |" in text
        and "The student's test ROC-AUC minus" in text
    )
    assert "accuracy" not in text
    assert in_brief(parse(compared)) == ["ROC-AUC, log|conf − naive: -0.038 [-0.062, 0.000], better in 7 of 8 cells."]


@pytest.mark.parametrize(("value", "text"), [(0.204, "+0.20"), (-0.004, "0.00"), (None, "–")])
def test_ratio_difference(value, text):
    assert ratio_difference(value) == text
