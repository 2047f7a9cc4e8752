"""The Markdown page of a handmade results dict, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from w2s_ray.core.errors import InputError
from w2s_ray.reports.markdown import report

PAGE = (Path(__file__).parents[2] / "golden" / "report.md").read_text(encoding="utf-8")


def test_the_page_word_for_word(results):
    assert report(results) == PAGE


def test_notes_and_marks_stand_only_where_they_apply(results):
    del results["summary"][1:], results["cells"][3:]
    page = report(results)
    assert "†" not in page and "‡" not in page and "rests on one seed" not in page
    assert "of an interval's draws" not in page
    results["summary"][0]["pgr"]["undefined"] = 0.021
    assert "Up to 2.1 % of an interval's draws had no positive gap" in report(results)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("pool", "the pool (the rows that the student sees)"),
        ("all 4000 rows", "all 4000 rows"),
        (None, "rows that the results do not name"),
    ],
)
def test_the_page_says_what_the_ceiling_was_trained_on(results, rows, words):
    results["ceiling_rows"] = rows
    assert f"on the gold labels of {words}." in report(results)


def test_a_study_without_any_cell(results):
    results |= {"cells": [], "summary": [], "hypothesis": "", "commit": None}
    page = report(results)
    assert "No cell could be scored." in page and "None was stated." in page and "commit: not recorded" in page
    assert "## Every seed" not in page and "## Artifacts" not in page and page.count("None.") == 1


def test_every_table_row_has_as_many_columns_as_its_header(results):
    results["summary"][0]["method"] = results["cells"][0]["method"] = "a|b\nc"
    tables = [block for block in report(results).split("\n\n") if block.startswith("|")]
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    assert len(tables) == 4


def test_a_bad_dict_is_an_error(results):
    with pytest.raises(InputError, match="config_digest"):
        report(results | {"config_digest": 3})


def test_a_study_in_roc_auc_says_so(results):
    page = report(results | {"metric": "auroc"})
    assert "(ceiling − floor) in ROC-AUC, the median" in page and "accuracy" not in page
    assert "| 0.603 | 0.701 [0.650, 0.740] | 0.734 |" in page
    assert "| naive | topic | world/nano → world/small | 0 | ok | 0.600 | 0.724 | 0.800 | 0.62 | 2000 |" in page


def test_rows_without_a_floor(without_floor):
    page = report(without_floor)
    assert (
        "| naive | topic | world/nano → world/small | no floor | – | 0 of 2 | 2000 | – | 72.0 % [70.0, 74.0] | 80.0 % |"
        in page
    )
    assert (
        page.count(
            "- naive, topic, world/nano → world/small, seed 0: no floor. The weak labels have none of the test rows, so"
            " there is no floor."
        )
        == 1
    )
    assert "| naive | topic | world/nano → world/small | 0 | no floor | – | 72.0 % | 80.0 % | – | 2000 |" in page
    assert "- `no floor`: the weak labels came without a teacher" in page
