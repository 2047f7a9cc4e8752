"""The `prepare` step: rows and gold of a task, each under its own content, and made again where they are lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_cell import HELDOUT, LABELLED, SIZES, SOURCES, Cell, opened
from studies import write_rows

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.answers import load_labels
from w2s_ray.core.dataset import Dataset
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import Handle
from w2s_ray.ops.contents import DATASET, GOLD, content_key
from w2s_ray.ops.prepare import SLICES, submit_prepare

Cells = Callable[[str], Cell]


def prepared(cell: Cell, base: Path, **spec: Any) -> Handle:
    return submit_prepare(cell.context, TaskSpec(data="file:rows.jsonl", **spec), base)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_split_has_rows_and_gold_of_its_own_under_their_contents(kind: str, cells: Cells) -> None:
    cell = cells(kind)
    value = cell.prepared.value
    assert set(value["splits"]) == set(value["gold"]) == {"labelled", "heldout", "pool", "test"}
    sizes = {"labelled": LABELLED, "heldout": HELDOUT, "pool": SIZES["pool"], "test": SIZES["test"]}
    seen: set[str] = set()
    for split, size in sizes.items():
        rows, gold = (cell.context.adopt(Key.parse(value[part][split])) for part in ("splits", "gold"))
        data, labels = cell.rows(rows), load_labels(gold.artifact().path)
        assert set(data.ids) == set(labels.ids)
        assert len(data) == size == rows.value["rows"] == gold.value["rows"]
        assert seen.isdisjoint(data.ids.tolist())
        seen |= set(data.ids.tolist())
        assert (rows.key, gold.key) == (content_key(data, DATASET), content_key(labels, GOLD))
        assert rows.record().made_by == gold.record().made_by == cell.prepared.key.full
        assert rows.value["kind"] == data.kind.name == {"five": "text"}.get(kind, kind)
        assert gold.value["source"] == "gold"
    assert value["facts"]["sizes"] == sizes


def test_rows_hold_no_gold_and_slices_lie_with_the_step_alone(cell: Cell) -> None:
    artifact = cell.prepared.artifact()
    assert set(artifact.record.files) == {SLICES}
    slices: Mapping[str, Mapping[str, list[str]]] = json.loads((artifact.path / SLICES).read_text())
    assert set(slices["test"]) == {"easy", "hard", "overlap"}
    assert sorted(i for ids in slices["test"].values() for i in ids) == sorted(cell.rows(cell.task.test).ids)
    assert set(cell.rows(cell.task.pool).inputs) == {"text"}
    for split in ("labelled", "pool", "test"):
        files = cell.context.adopt(Key.parse(cell.prepared.value["splits"][split])).artifact().path
        assert [path.name for path in files.iterdir()] == ["rows.parquet"]


def test_a_file_counts_by_its_bytes_and_in_no_other_way(cell: Cell, tmp_path: Path) -> None:
    here, there = write_rows(tmp_path / "here", num_rows=60), write_rows(tmp_path / "there", num_rows=60)
    first = prepared(cell, here.parent)
    assert prepared(cell, there.parent).key == first.key
    assert str(tmp_path) not in json.dumps(first.record().params)
    assert first.key.slug.startswith("file-")
    there.write_text(there.read_text() + "\n")
    assert prepared(cell, there.parent).key != first.key
    assert prepared(cell, there.parent).value["splits"] == first.value["splits"], "an empty line is no row"


def test_what_is_downstream_of_rows_depends_on_them_and_not_on_how_they_were_split(cell: Cell, tmp_path: Path) -> None:
    write_rows(tmp_path, num_rows=60)
    one, capped, other = (prepared(cell, tmp_path, **spec) for spec in ({}, {"test": 5}, {"seed": 1}))
    assert len({one.key, capped.key, other.key}) == 3
    for part in ("splits", "gold"):
        assert one.value[part]["pool"] == capped.value[part]["pool"] != other.value[part]["pool"]
        assert one.value[part]["test"] != capped.value[part]["test"]


def test_rows_that_are_damaged_are_prepared_again(tmp_path: Path) -> None:
    with opened(tmp_path) as cell:
        before = cell.task.pool.artifact()
        (before.path / "rows.parquet").write_bytes(b"nonsense")
    with opened(tmp_path) as cell:
        again = cell.task.pool.artifact()
        assert (again.key, again.record.attempt != before.record.attempt) == (before.key, True)
        assert content_key(Dataset.load(again.path)) == before.key
        assert cell.prepared.key in cell.context.executed
