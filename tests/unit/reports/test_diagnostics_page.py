"""Tables that methods declare: over seeds on the page, whole in a file, drawn where a picture is declared."""

from __future__ import annotations

import csv

import pytest

from w2s_ray.core.errors import DataError
from w2s_ray.reports.files import WRITTEN, write_files
from w2s_ray.reports.markdown import report
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.schema import parse

COLUMNS = [
    {"name": "members", "words": "members", "show": "count"},
    {"name": "accuracy", "words": "label accuracy", "show": "share"},
    {"name": "loss", "words": "log loss", "show": "number"},
]


def sizes(accuracies, **more):
    rows = [
        {"members": n, "accuracy": a, "loss": None if n == 1 else 0.2 * n} for n, a in enumerate(accuracies, start=1)
    ]
    return {
        "name": "ensemble-sizes",
        "title": "Ensemble sizes",
        "columns": COLUMNS,
        "rows": rows,
        "note": "No size may be chosen by them.",
        "figure": {"x": "members", "y": ["accuracy", "loss"]},
        "on_page": [0, 2],
    } | more


@pytest.fixture
def ensembles(results):
    for place, accuracies in ((0, (0.7, 0.8, 0.9)), (1, (0.6, 0.7, 0.8))):
        results["cells"][place]["diagnostics"] = [sizes(accuracies)]
    return results


def test_the_page_shows_the_declared_rows_as_means_over_seeds(ensembles) -> None:
    section = report(ensembles).partition("## Ensemble sizes")[2].partition("\n## ")[0].strip().splitlines()
    assert section == [
        "| method | task | weak → strong | members | seeds | label accuracy | log loss |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        "| naive | topic | world/nano → world/small | 1 | 2 | 65.0 % | – |",
        "| naive | topic | world/nano → world/small | 3 | 2 | 85.0 % | 0.600 |",
        "",
        "![Ensemble sizes](ensemble-sizes.svg)",
        "",
        "No size may be chosen by them. All numbers are in `ensemble-sizes.csv` and `ensemble-sizes.svg`.",
    ]
    without = [{**cell, "diagnostics": []} for cell in ensembles["cells"]]
    assert "Ensemble sizes" not in report({**ensembles, "cells": without})


def test_a_table_of_names_has_no_picture_and_all_its_rows(results) -> None:
    columns = [
        {"name": "stage", "words": "stage", "show": "count"},
        {"name": "name", "words": "student", "show": "text"},
        {"name": "student", "words": "its test accuracy", "show": "share"},
    ]
    for place, accuracy in ((0, 0.5), (1, 0.7)):
        rows = [{"stage": 1, "name": "mi|cro", "student": accuracy}, {"stage": 2, "name": "mini", "student": 1.0}]
        table = {"name": "stages", "title": "Students in turn", "columns": columns, "rows": rows}
        results["cells"][place]["diagnostics"] = [table]
    section = report(results).partition("## Students in turn")[2].partition("\n## ")[0].strip().splitlines()
    assert section == [
        "| method | task | weak → strong | stage | student | seeds | its test accuracy |",
        "| --- | --- | --- | --- | --- | ---: | ---: |",
        "| naive | topic | world/nano → world/small | 1 | mi\\|cro | 2 | 60.0 % |",
        "| naive | topic | world/nano → world/small | 2 | mini | 2 | 100.0 % |",
    ]


def test_files_come_and_go_with_the_diagnostics(ensembles, tmp_path) -> None:
    write_files(tmp_path, study_page(parse(ensembles)))
    with open(tmp_path / "ensemble-sizes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["members"], row["seeds"]) for row in rows] == [("1", "2"), ("2", "2"), ("3", "2")]
    assert [float(row["accuracy"]) for row in rows] == pytest.approx([0.65, 0.75, 0.85])
    assert rows[0]["loss"] == ""
    assert "<svg" in (tmp_path / "ensemble-sizes.svg").read_text()
    (tmp_path / "mine.txt").touch()
    for cell in ensembles["cells"]:
        cell.pop("diagnostics", None)
    write_files(tmp_path, study_page(parse(ensembles)))
    assert {path.name for path in tmp_path.iterdir()} == {WRITTEN, "gap.svg", "mine.txt"}


def test_a_name_that_is_a_path_is_refused(ensembles) -> None:
    ensembles["cells"][0]["diagnostics"][0]["name"] = "../outside"
    with pytest.raises(DataError, match=r"cells\.0\.diagnostics\.0\.name"):
        parse(ensembles)
