"""The table, CSV and picture of ensembles against their size."""

from __future__ import annotations

import csv

import pytest

from w2s_ray.reports.markdown import report
from w2s_ray.reports.schema import parse
from w2s_ray.reports.sizes import CSV_FILE, PICTURE, size_rows, write_sizes


def size(members, accuracy, disagreement):
    return {"members": members, "accuracy": accuracy, "log_loss": 0.5, "ece": 0.1, "disagreement": disagreement}


@pytest.fixture
def ensembles(results):
    for place, accuracies in ((0, (0.7, 0.8, 0.9)), (1, (0.6, 0.7, 0.8))):
        results["cells"][place]["sizes"] = [
            size(n, a, None if n == 1 else 0.2 * n) for n, a in enumerate(accuracies, start=1)
        ]
    return results


def test_rows_are_means_over_the_seeds_that_have_an_ensemble(ensembles) -> None:
    rows = size_rows(parse(ensembles))
    assert [(row["members"], row["seeds"]) for row in rows] == [(1, 2), (2, 2), (3, 2)]
    assert [row["accuracy"] for row in rows] == pytest.approx([0.65, 0.75, 0.85])
    assert [row["disagreement"] for row in rows] == [None, 0.4, pytest.approx(0.6)]


def test_the_report_shows_powers_of_two_and_all_members_and_says_what_they_look_at(ensembles) -> None:
    text = report(ensembles)
    section = text.partition("## Ensemble sizes")[2].partition("\n## ")[0]
    assert section.count("| naive |") == 3
    assert "85.0 %" in section
    assert "no size may be chosen" in section
    assert "Ensemble sizes" not in report(
        {**ensembles, "cells": [{**cell, "sizes": []} for cell in ensembles["cells"]]}
    )


def test_files_come_and_go_with_the_ensembles(ensembles, tmp_path) -> None:
    write_sizes(tmp_path, parse(ensembles))
    with open(tmp_path / CSV_FILE, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == pytest.approx([0.65, 0.75, 0.85])
    assert rows[0]["disagreement"] == ""
    assert "<svg" in (tmp_path / PICTURE).read_text()
    for cell in ensembles["cells"]:
        cell.pop("sizes", None)
    write_sizes(tmp_path, parse(ensembles))
    assert list(tmp_path.iterdir()) == []
