"""The terminal table on 80 columns."""

from __future__ import annotations

import copy
import io

import pytest
from rich.console import Console

from w2s_ray.reports.terminal import summary_table
from w2s_ray.reports.wording import duration, percent, ratio


def lines_of(results, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary_table(results))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_numbers_and_plain_words(results):
    text = lines_of(results)
    assert text[0].split(", ") == ["quickstart", "task topic", "weak world/nano", "strong world/small"]
    header, naive, logconf, oracle = (
        next(line for line in text if line.split()[:1] == [first])
        for first in ("method", "naive", "log|conf", "oracle")
    )
    assert header.split() == ["method", "floor", "student", "ceiling", "gap", "recovered", "seeds"]
    assert all(number in naive for number in ("60.3 %", "70.1 %", "73.4 %", "0.63 [0.42, 0.86]", "2 of 3"))
    assert "0.75 [0.60, 0.90]" in logconf and "1 of 2" in logconf and "–" in logconf
    assert "no gap" in oracle and "0 of 1" in oracle
    assert "6 cells (2 without a gap, 1 failed)." in " ".join(" ".join(text).split())


def vary(results, **names):
    """A second copy of every row under other names."""
    more = copy.deepcopy(results)
    for entry in (*more["cells"], *more["summary"]):
        entry |= names
    return results | {"cells": results["cells"] + more["cells"], "summary": results["summary"] + more["summary"]}


def test_fits_80_columns_with_every_name_varying_and_long(results):
    for entry in (*results["cells"], *results["summary"]):
        entry["method"] += " with a rather long name"
    wide = vary(
        results, task="amazon_polarity_reviews", weak="hub:Qwen/Qwen1.5-0.5B", strong="hub:meta-llama/Meta-Llama-3-8B"
    )
    text = lines_of(wide)
    assert max(map(len, text)) <= 80
    assert sum("0.63 [0.42, 0.86]" in line for line in text) == 2, "numbers are never folded"
    assert text[0].strip() == "quickstart"
    # Every setting is named once, its methods below it; words are folded, not syllables.
    assert sum("amazon_polarity_reviews" in line for line in text) == 1
    assert any("hub:Qwen/Qwen1.5-0.5B" in line for line in text)


@pytest.mark.parametrize(
    ("names", "headings"),
    [
        ({"strong": "world/mini"}, ["strong world/small", "strong world/mini"]),
        ({"weak": "world/pico"}, ["weak world/nano", "weak world/pico"]),
        ({"task": "mood"}, ["topic", "mood"]),
        ({"weak": "w", "strong": "s"}, ["world/nano → world/small", "w → s"]),
        ({"task": "mood", "strong": "s"}, ["topic, strong world/small", "mood, strong s"]),
    ],
)
def test_headings_hold_what_varies_and_the_title_the_rest(results, names, headings):
    text = lines_of(vary(results, **names), width=120)
    assert [line.strip() for line in text if line.strip() in headings] == headings
    assert all((f"{name} " in text[0]) == (name not in names) for name in ("task", "weak", "strong"))
    places = [
        number for number, line in enumerate(text) if line.strip() in headings or line.strip().startswith("naive")
    ]
    assert [text[place].strip().startswith("naive") for place in places] == [False, True, False, True]


def test_a_group_that_failed_altogether_is_shown(results):
    del results["summary"][1]
    results["cells"][3] |= {"status": "failed", "pgr": None}
    (line,) = [line for line in lines_of(results) if line.strip().startswith("log|conf")]
    assert "failed" in line and "0 of 2" in line


def test_names_are_not_markup(results):
    for entry in (*results["cells"], *results["summary"]):
        entry["method"] = f"[bold]{entry['method']}[/]"
    assert any("[bold]naive[/]" in line for line in lines_of(results))


def test_an_empty_study_is_a_table_too(results):
    assert any("0 cells." in line for line in lines_of(results | {"cells": [], "summary": []}))


def test_a_study_in_roc_auc_says_so(results):
    text = lines_of(results | {"metric": "auroc"})
    (naive,) = [line for line in text if line.split()[:1] == ["naive"]]
    assert naive.split()[1:4] == ["0.603", "0.701", "0.734"] and "All is in ROC-AUC." in " ".join(
        " ".join(text).split()
    )


def test_rows_without_a_floor(without_floor):
    text = lines_of(without_floor)
    (naive,) = [line for line in text if line.split()[:1] == ["naive"]]
    assert naive.split() == ["naive", "–", "72.0", "%", "80.0", "%", "no", "floor", "0", "of", "2"]
    assert "2 cells (2 without a floor)." in " ".join(" ".join(text).split())


@pytest.mark.parametrize(("value", "text"), [(0.7244, "72.4 %"), (1.0, "100.0 %"), (None, "–")])
def test_percent(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.625, "0.62"), (-0.001, "0.00"), (-0.354, "-0.35"), (None, "–")])
def test_ratio(value, text):
    assert ratio(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(41.26, "41.3 s"), (725.4, "12 min 5 s"), (12_000, "3 h 20 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text
