"""Which rows went wrong: sorts, names of answers, and what is left without a store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from studies import config

from w2s_ray.config.load import expand
from w2s_ray.core.errors import InputError
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.schema import Results, parse
from w2s_ray.study.errors import WHERE, Answered, ErrorRow, Said, error_rows, find_cell
from w2s_ray.study.results import build_results, write_results
from w2s_ray.study.run import collect, run_cells

TASKS: dict[str, dict[str, Any]] = {
    "text": {"data": "world:topic5"},
    "preference": {"data": "world:pref"},
    "choice": {"data": "world:qa", "format": "choice"},
    "generation": {"data": "world:qa", "format": "question"},
}
SIZES = {"labelled": 32, "pool": 28, "test": 24, "heldout": 0}
FIT = {"epochs": 1, "lr": 0.01, "batch": 8, "pooling": "mean", "answer_tokens": 2}


def finished(folder: Path, task: dict[str, Any], seeds: tuple[int, ...] = (1,)) -> tuple[Results, Store]:
    raw = config("naive", seeds, task=task | SIZES, train={"weak": FIT, "strong": FIT})
    study, store = expand(raw, folder), open_store(str(folder / "store"))
    with Context(store, InlineExecutor) as context:
        runs = run_cells(study, context)
        collected = collect(study, context, runs)
        assert collected is not None, runs[0].traceback
        results = build_results(study, context, runs, collected.value, 1.0, folder)
        write_results(folder / "run", study, results, collected)
    return parse(results), store


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Store, Path]:
    folder = tmp_path_factory.mktemp("two-seeds")
    return *finished(folder, TASKS["text"], (0, 1)), folder / "run"


@pytest.mark.parametrize("kind", TASKS)
def test_the_rows_are_those_of_the_table_with_their_texts(kind: str, tmp_path: Path) -> None:
    results, store = finished(tmp_path, TASKS[kind])
    cell = find_cell(results, {"seed": 1})
    answered = error_rows(tmp_path / "run", store, cell)
    assert cell.seed == 1 and answered.no_texts == ""
    table = pq.read_table(tmp_path / "run" / "cells.parquet").to_pandas()
    table = table[(table["seed"] == 1) & (table["split"] == "test")].set_index("id")
    what, gold = ("text", "gold_text") if kind == "generation" else ("class", "gold")
    wrong = {arm: table[f"{arm}_{what}"] != table[gold] for arm in ("floor", "student")}
    same = table[f"floor_{what}"] == table[f"student_{what}"]
    expected = {
        "student-wrong": wrong["student"],
        "teacher-wrong": wrong["floor"],
        "copied": wrong["floor"] & same,
        "corrected": wrong["floor"] & ~wrong["student"],
        "own": wrong["student"] & ~wrong["floor"],
        "disagree": ~same,
        "all": np.ones(len(table), dtype=bool),
    }
    assert expected.keys() == WHERE.keys()
    for where, chosen in expected.items():
        assert {row.id for row in answered.where(where)} == set(table.index[chosen]), where
        assert answered.counts.get(where, 0) == int(np.sum(chosen))
    assert np.mean([not row.student_wrong for row in answered.rows]) == pytest.approx(cell.student)
    sure = [row.student.confidence for row in answered.rows]
    assert all(p is not None and 0 < p <= 1 for p in sure) and sure == sorted(sure, key=lambda p: -(p or 0))
    for row in answered.rows:
        offered = {
            "preference": {"first", "second"},
            "choice": {*map(str, json.loads(row.inputs.get("choices", "[]")))},
            "text": set(map(str, range(5))),
        }
        assert all(row.inputs.values())
        assert row.gold in offered.get(kind, {row.gold})
        assert row.student.answer in offered.get(kind, {row.student.answer})


def test_without_the_store_there_are_ids_and_classes_by_number(
    two_seeds: tuple[Results, Store, Path], tmp_path: Path
) -> None:
    results, store, run = two_seeds
    cell = find_cell(results, {})
    whole = error_rows(run, store, cell)
    bare = error_rows(run, open_store(str(tmp_path / "elsewhere")), cell)
    assert "--store" in bare.no_texts and not (tmp_path / "elsewhere").exists()
    assert bare.rows == tuple(replace(row, inputs={}) for row in whole.rows), "the classes of this task are numbers"
    hostile = cell.model_copy(update={"keys": {"score": "../../etc/passwd-000000000000"}})
    assert "does not have them" in error_rows(run, store, hostile).no_texts
    copy = tmp_path / "damaged"
    shutil.copytree(store.root, copy)
    for rows in copy.glob("dataset/*/*/rows.parquet"):
        rows.write_bytes(b"PAR1")
    assert "damaged" in error_rows(run, open_store(str(copy)), cell).no_texts


def test_cells_are_found_by_what_is_asked_and_refused_by_what_there_is(
    two_seeds: tuple[Results, Store, Path], tmp_path: Path
) -> None:
    results, store, _ = two_seeds
    assert find_cell(results, {"method": "naive", "seed": None}).seed == 0
    with pytest.raises(InputError, match=r"--method nave: .*did you mean 'naive'.*there are: naive"):
        find_cell(results, {"method": "nave"})
    with pytest.raises(InputError, match=r"--seed 7: there is no such cell.*there are: 0, 1"):
        find_cell(results, {"seed": 7})
    failed = results.model_copy(
        update={"cells": [cell.model_copy(update={"status": "failed"}) for cell in results.cells]}
    )
    with pytest.raises(InputError, match="no cell of tiny has a score"):
        find_cell(failed, {})
    cell = find_cell(results, {})
    (tmp_path / "cells.parquet").write_bytes(b"PAR1 or so")
    with pytest.raises(InputError, match=r"cells.parquet is not what `w2s run` wrote"):
        error_rows(tmp_path, store, cell)
    (tmp_path / "cells.parquet").unlink()
    with pytest.raises(InputError, match=r"cells.parquet: no such file"):
        error_rows(tmp_path, store, cell)


def test_who_abstains_is_wrong_and_copies_nobody() -> None:
    silent, right = Said(None, None), Said("a", 0.9)
    row = ErrorRow("1", {}, "a", silent, silent, right)
    assert row.student_wrong and row.teacher_wrong
    assert not row.agree and WHERE["disagree"](row) and not WHERE["copied"](row)
    alone = replace(row, teacher=None, student=right)
    answered = Answered(cell=None, rows=(alone,))  # type: ignore[arg-type]
    assert answered.where("student-wrong") == []
    assert not any(WHERE[where](alone) for where in WHERE if where != "all")
