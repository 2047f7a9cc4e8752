"""Ladders of models: the page's section, the CSV, the picture."""

from __future__ import annotations

import csv

import pytest

from w2s_ray.reports.files import WRITTEN, write_files
from w2s_ray.reports.markdown import report
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.pages.sweep import CSV_FILE, MOST_MAPS, PICTURE
from w2s_ray.reports.schema import parse

SECTION = r"""
### na\|ive, topic

| weak ↓ strong → | mini | small |
| --- | ---: | ---: |
| na\|no | 0.50 (70.0 %) | 1.20 (70.0 %) |
| micro | no gap (70.0 %) | – |

Median over 6 runs: 0.43.

### logconf, topic

| weak ↓ strong → | small |
| --- | ---: |
| micro | no gap (70.0 %) |

No run has a ceiling above its floor.
""".replace("### na\\|ive", "### na|ive")


def pair(weak, strong, pgr):
    return {
        "weak": weak,
        "strong": strong,
        "num_seeds": 3,
        "num_gap": 0 if pgr is None else 2,
        "floor": 0.6,
        "student": 0.7,
        "ceiling": 0.8,
        "pgr": pgr,
    }


@pytest.fixture
def ladder(results):
    pairs = [pair("na|no", "mini", 0.5), pair("na|no", "small", 1.2), pair("micro", "mini", None)]
    naive = {"method": "na|ive", "task": "topic", "median_pgr_openai": 0.43, "num_runs_openai": 6, "pairs": pairs}
    other = {
        "method": "logconf",
        "task": "topic",
        "median_pgr_openai": None,
        "num_runs_openai": 0,
        "pairs": [pair("micro", "small", None)],
    }
    return results | {"sweep": [naive, other]}


def test_the_section_word_for_word(ladder):
    section = report(ladder).partition("## Weak and strong models")[2].partition("\n## ")[0]
    note, _, tables = section.strip().partition("\n")
    assert note.startswith("Gap recovered, the median over seeds") and note.endswith("picture: `sweep.svg`.")
    assert tables.removeprefix("\n![Gap recovered by pair of models](sweep.svg)\n") + "\n" == SECTION


def test_a_study_with_one_pair_of_models_has_none(results):
    assert "Weak and strong models" not in report(results)


def test_files_come_and_go_with_the_ladder(ladder, tmp_path):
    write_files(tmp_path, study_page(parse(ladder)))
    with open(tmp_path / CSV_FILE, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["weak"], row["strong"], row["pgr"]) for row in rows] == [
        ("na|ive", "na|no", "mini", "0.5"),
        ("na|ive", "na|no", "small", "1.2"),
        ("na|ive", "micro", "mini", ""),
        ("logconf", "micro", "small", ""),
    ]
    assert (rows[0]["seeds"], rows[0]["gap_seeds"], rows[0]["floor"]) == ("3", "2", "0.6")
    assert "<svg" in (tmp_path / PICTURE).read_text()
    write_files(tmp_path, study_page(parse(ladder | {"sweep": []})))
    assert {path.name for path in tmp_path.iterdir()} == {WRITTEN, "gap.svg"}


def test_of_very_many_maps_the_first_are_drawn_and_the_page_says_so(ladder, tmp_path):
    many = ladder | {"sweep": ladder["sweep"][1:] * (MOST_MAPS + 1)}
    assert f"the first {MOST_MAPS} maps." in report(many)
    write_files(tmp_path, study_page(parse(many)))
    with open(tmp_path / CSV_FILE, newline="") as file:
        assert len(list(csv.DictReader(file))) == MOST_MAPS + 1


def test_a_ladder_in_roc_auc_and_without_floors(ladder, tmp_path):
    for entry in ladder["sweep"][1]["pairs"]:
        entry["floor"] = None
    page = report(ladder | {"metric": "auroc"})
    assert (
        "the student's mean test ROC-AUC." in page
        and "| na\\|no | 0.50 (0.700) | 1.20 (0.700) |" in page
        and "| micro | no floor (0.700) |" in page
    )
    write_files(tmp_path, study_page(parse(ladder | {"metric": "auroc"})))
    with open(tmp_path / CSV_FILE, newline="") as file:
        assert [row["floor"] for row in csv.DictReader(file)] == ["0.6", "0.6", "0.6", ""]
    assert "no floor" in (tmp_path / PICTURE).read_text()


def test_names_that_are_long_leave_room_for_the_map(ladder, tmp_path):
    """Places of files and models; matplotlib warns where a map has none, and warnings are errors."""
    for entry in ladder["sweep"]:
        entry["task"] = f"file:{'a/long/place/' * 8}rows.jsonl"
        for each in entry["pairs"]:
            each["weak"], each["strong"] = (
                f"labels:file:{'a/long/place/' * 8}{each['weak']}",
                f"package:{'a_package/' * 8}{each['strong']}",
            )
    write_files(tmp_path, study_page(parse(ladder)))
    assert "<svg" in (tmp_path / PICTURE).read_text()
