"""Several studies in one table, and what is said of which numbers may be held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_folders import eleuther_results, openai_sweep

from w2s_ray.reports.document import Document, Notes, Table
from w2s_ray.reports.markdown import render
from w2s_ray.reports.pages.together import MOST_PAIRS, together_page
from w2s_ray.reports.predictions import Predictions
from w2s_ray.reports.schema import Results, parse
from w2s_ray.reports.terminal import lines
from w2s_ray.study.foreign.results import import_folder

SETTING = {"task": "topic", "weak": "nano", "strong": "small"}


def study(name: str, methods: tuple[str, ...] = ("naive",), **changes: Any) -> Results:
    """Two seeds of each method."""
    numbers = {"floor": 0.6, "student": 0.7, "ceiling": 0.8, "pgr": 0.5, "num_test": 40, "status": "ok"}
    mean = {"mean": 0.7, "low": 0.6, "high": 0.8}
    rows = [
        {
            "method": method, **SETTING, "num_seeds": 2, "num_test": 40, "placements": ["cpu"],
            "pgr": {"median": 0.5, "mean": 0.5, "low": 0.2, "high": 0.9},
            "student": mean, "floor": mean | {"mean": 0.6}, "ceiling": mean,
        }
        for method in methods
    ]  # fmt: skip
    body = {
        "schema": 1, "name": name, "hypothesis": "h", "config_digest": "d", "commit": "abc", "gap_se": 2.0,
        "ceiling_rows": "pool", "summary": rows, "seconds": 1.0, "steps": {"executed": 0, "reused": 0, "failed": 0},
        "cells": [{"method": method, **SETTING, "seed": seed, **numbers} for method in methods for seed in (0, 1)],
    }  # fmt: skip
    return parse(body | changes)


def predictions(
    folder: Path, results: Results, first_row: int = 0, right: float = 0.7, seeds: tuple[int, ...] = (0, 1)
) -> Predictions:
    """`cells.parquet` of 40 test rows from `first_row` on, the student right on a share of them; and a pool."""
    folder.mkdir()
    tables = []
    for row in results.summary:
        for seed in seeds:
            gold = np.arange(40) % 2
            rng = np.random.default_rng(seed)
            columns: dict[str, Any] = {
                **{name: [getattr(row, name)] * 40 for name in ("method", "task", "weak", "strong")},
                "seed": [seed] * 40, "split": ["test"] * 40, "gold": gold,
                "id": [f"row {n}" for n in rng.permutation(40) + first_row],
            }  # fmt: skip
            for arm, share in (("floor", 0.5), ("student", right), ("ceiling", 0.9)):
                said = np.where(np.arange(40) < 40 * share, gold, 1 - gold)
                columns |= {f"{arm}_p0": 1.0 - said, f"{arm}_p1": 1.0 * said, f"{arm}_class": said}
            pool = {**columns, "split": ["pool"] * 40, "id": [f"pool {n}" for n in range(40)]}
            tables += [pa.table(columns), pa.table(pool)]
    pq.write_table(pa.concat_tables(tables), folder / "cells.parquet")
    return Predictions(folder, results)


def notes(page: Document) -> list[str]:
    (section,) = (section for section in page.sections if section.title == "What may be held against what")
    return [item for part in section.parts if isinstance(part, Notes) for item in part.items]


def rows(page: Document, title: str) -> tuple[tuple[str, ...], ...]:
    (table,) = (
        part for section in page.sections if section.title.startswith(title) for part in section.parts
        if isinstance(part, Table)
    )  # fmt: skip
    return table.rows


def test_all_stand_in_one_table_under_their_settings(tmp_path: Path) -> None:
    theirs = parse(import_folder(openai_sweep(tmp_path / "o"), "theirs"))
    others = parse(import_folder(eleuther_results(tmp_path / "e"), "others"))
    page = together_page([study("ours", ("naive", "logconf")), theirs, others])
    table = rows(page, "Together")
    assert table[0] == ("topic, nano → small", "", "", "", "", "")
    assert table[1] == ("ours: naive", "60.0 %", "70.0 %", "70.0 %", "0.50 [0.20, 0.90]", "2")
    assert ("theirs: naive", "61.0 %", "65.5 %", "80.0 %", "0.24", "2") in table
    assert ("others: naive", "0.750", "0.830", "0.950", "0.40", "1") in table
    assert [origin[:4] for origin in rows(page, "Where")] == [
        ("ours", "w2s_ray", "accuracy", "pool"),
        ("theirs", "openai/weak-to-strong", "accuracy", "labelled"),
        ("others", "EleutherAI/w2s", "ROC-AUC", "pool"),
    ]
    (line,) = (note for note in notes(page) if note.startswith("sciq: others beside theirs: "))
    assert "whether the test rows are the same is not known; ROC-AUC and accuracy; a ceiling on the pool rows" in line
    assert "made by EleutherAI/w2s and by openai/weak-to-strong" in line
    assert not any(section.title.startswith("Differences") for section in page.sections)


def test_what_all_share_stands_in_the_title(tmp_path: Path) -> None:
    page = together_page([study("a"), study("a"), study("b")])
    assert page.sections[0].title == "Together: topic, nano → small"
    assert [row[0] for row in rows(page, "Together")] == ["a: naive", "a (2): naive", "b: naive"]


def test_studies_on_the_same_rows_are_said_to_be_alike_and_paired(tmp_path: Path) -> None:
    one, other = study("one"), study("other", ("naive", "logconf"))
    page = together_page(
        [one, other], [predictions(tmp_path / "1", one), predictions(tmp_path / "2", other, right=0.8)]
    )
    assert notes(page) == [
        "topic: one, other were measured alike: on the same 40 test rows, in accuracy, against a ceiling on the pool"
        " rows."
    ]
    (naive, logconf) = rows(page, "Differences")
    assert naive[0] == "other: naive − one: naive"
    assert logconf[0] == "other: logconf − one: naive"
    assert naive[1].startswith("+10.0 [")
    assert naive[2:4] == ("2, 0, 0", "2")


@pytest.mark.parametrize("first_row", [20, 40])
def test_other_test_rows_are_said_and_nothing_is_paired(first_row: int, tmp_path: Path) -> None:
    one, other = study("one"), study("other")
    page = together_page(
        [one, other], [predictions(tmp_path / "1", one), predictions(tmp_path / "2", other, first_row)]
    )
    assert notes(page) == [
        f"topic: other beside one: other test rows (40 and 40, of which {40 - first_row} are the same)."
    ]
    assert len(page.sections) == 3


def test_seeds_that_one_alone_has_pair_with_nothing(tmp_path: Path) -> None:
    one, other = study("one"), study("other")
    page = together_page(
        [one, other], [predictions(tmp_path / "1", one), predictions(tmp_path / "2", other, seeds=(5, 6))]
    )
    assert "were measured alike" in notes(page)[0]
    assert len(page.sections) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"ceiling_rows": "labelled"},
            "a ceiling on the labelled rows and on the pool rows, so the gap is another one",
        ),
        ({"metric": "auroc"}, "ROC-AUC and accuracy"),
        ({"commit": "def"}, "They were made at different commits: one abc, other def."),
        ({"gap_se": 1.0}, "by more than 2 standard errors for one; by more than 1 standard errors for other"),
        ({"tuned": {"search": "s", "select_on": "gold"}}, "other: the recipe was tuned, ORACLE"),
    ],
)
def test_each_thing_that_parts_two_studies_is_said(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    one, other = study("one"), study("other", **changes)
    page = together_page([one, other], [predictions(tmp_path / "1", one), predictions(tmp_path / "2", other)])
    assert said in " ".join(notes(page))


def test_files_that_cannot_be_read_are_as_none(tmp_path: Path) -> None:
    one, other = study("one"), study("other")
    bad = predictions(tmp_path / "2", other)
    (tmp_path / "2/cells.parquet").write_bytes(b"PAR1 and no more")
    page = together_page([one, other], [predictions(tmp_path / "1", one), bad])
    assert notes(page) == ["topic: other beside one: whether the test rows are the same is not known."]


def test_studies_without_a_common_task_are_said_to_have_none() -> None:
    page = together_page([study("one"), study("other", summary=[], cells=[])])
    assert notes(page)[0] == "No two of them have a task of the same name, so no number stands beside another's."


def test_many_rows_are_cut_and_that_is_said(tmp_path: Path) -> None:
    methods = tuple(f"m{n}" for n in range(MOST_PAIRS + 1))
    one, other = study("one"), study("other", methods)
    page = together_page([one, other], [predictions(tmp_path / "1", one), predictions(tmp_path / "2", other)])
    assert len(rows(page, "Differences")) == MOST_PAIRS
    assert f"The first {MOST_PAIRS} of {MOST_PAIRS + 1} are shown." in render(page)


def test_names_with_markup_reach_the_terminal_as_they_are() -> None:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, color_system=None)
    for part in lines(together_page([study("[red]one"), study("other")])):
        console.print(part, markup=False)
    assert "[red]one: naive" in console.file.getvalue()  # type: ignore[attr-defined]
