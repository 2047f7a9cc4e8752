"""The step that joins labels of a file to rows: by id alone, whatever else the file holds, or refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cell import RECIPE, SIZES, Cell, one_line

from w2s_ray.core.errors import DataError
from w2s_ray.core.resources import Resources
from w2s_ray.ops.join_labels import identify_labels, is_external
from w2s_ray.ops.models import identify, num_parameters
from w2s_ray.ops.task import Learner, Trained

Cells = Callable[[str], Cell]
Line = dict[str, Any]


def teacher(folder: Path, lines: Sequence[Line], name: str = "said.jsonl") -> Learner:
    """A file of labels, named as a YAML names it."""
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Learner(identify(f"labels:file:{name}#p", folder), RECIPE)


def sure(cell: Cell, more: Sequence[str] = ()) -> list[Line]:
    """A probability for each row of the pool, and for some that are no rows."""
    ids = [*cell.rows(cell.task.pool).ids.tolist(), *more]
    return [{"id": name, "p": round((n + 1) / (len(ids) + 1), 4)} for n, name in enumerate(ids)]


@settings(max_examples=12, deadline=None)
@given(random=st.randoms(), others=st.integers(0, 9))
def test_labels_are_those_of_the_ids_in_whatever_order_and_company(
    cell: Cell, folder: Path, random: Any, others: int
) -> None:
    lines = sure(cell, [f"no row {n}" for n in range(others)])
    said = {line["id"]: line["p"] for line in lines}
    random.shuffle(lines)
    labels = cell.ctx.labels(cell.ctx.predict(teacher(folder, lines), cell.task.pool))
    assert labels.ids.tolist() == cell.rows(cell.task.pool).ids.tolist()
    np.testing.assert_allclose(labels.probs_NK[:, 1], [said[name] for name in labels.ids], atol=1e-12)
    assert labels.mask_N.all()
    assert labels.source == "external"


def test_who_is_silent_of_a_row_abstains_and_the_row_is_not_learned_from(cell: Cell, tmp_path: Path) -> None:
    lines = sure(cell)
    lines[3]["p"] = None
    labels = cell.ctx.predict(teacher(tmp_path, lines), cell.task.pool)
    found = cell.ctx.labels(labels)
    assert found.ids[~found.mask_N].tolist() == [lines[3]["id"]]
    student = cell.fit(rows=cell.task.pool, labels=labels)
    assert student.handle.value["facts"]["rows"] == RECIPE.epochs * (SIZES["pool"] - 1)
    assert student.handle.value["supervision"] == [labels.key.full]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines[:-2], r"said.jsonl has labels for 26 of 28 pool rows; id '\w+' has none: add them, or"),
        (lambda lines: [], "said.jsonl has labels for 0 of 28 pool rows"),
        (lambda lines: [*lines, lines[0]], "1 ids stand more than once"),
        (lambda lines: [{"ID": one["id"], "p": one["p"]} for one in lines], r"row 1 has no column 'id' \(did you mean"),
        (lambda lines: [{"id": one["id"], "q": one["p"]} for one in lines], "row 1 has no column 'p'"),
        (lambda lines: [*lines[:-1], {"id": "x"}], "row 28 has no column 'p'"),
        (lambda lines: [{**one, "p": 1.5} for one in lines], "which are no probabilities"),
        (lambda lines: [{**one, "p": "2"} for one in lines], "is no class of these rows"),
        (lambda lines: [{**one, "p": [0.2, 0.3, 0.5]} for one in lines], "a list of 3 probabilities; the rows have 2"),
    ],
)
def test_labels_that_cannot_be_joined_are_refused_in_a_line(
    edit: Callable[[list[Line]], list[Line]], message: str, cell: Cell, tmp_path: Path
) -> None:
    handle = cell.ctx.predict(teacher(tmp_path, edit(sure(cell))), cell.task.pool)
    with pytest.raises(DataError, match=message) as caught:
        handle.record()
    assert one_line(caught.value)


def test_the_key_counts_the_bytes_the_column_and_the_rows(plan: Cell, tmp_path: Path) -> None:
    lines = [{"id": "a", "p": 1, "q": 0}]
    one = teacher(tmp_path, lines)
    moved = teacher(tmp_path, lines, "moved.jsonl")
    other = replace(one, model=identify("labels:file:said.jsonl#q", tmp_path))
    key = plan.ctx.predict(one, plan.task.pool).key
    assert plan.ctx.predict(moved, plan.task.pool).key == key
    assert plan.ctx.predict(replace(one, resources=Resources(cpus=3)), plan.task.pool).key == key
    assert plan.ctx.predict(one.with_recipe(lr=0.5, prompt="Q {text}"), plan.task.pool).key == key
    assert plan.ctx.predict(one, plan.task.test).key != key
    assert plan.ctx.predict(other, plan.task.pool).key != key
    assert key.slug == "p"
    edited = teacher(tmp_path, [{"id": "a", "p": 0, "q": 0}])
    assert plan.ctx.predict(edited, plan.task.pool).key != key


def test_what_a_file_says_is_not_learned_and_so_the_rows_to_train_on_do_not_matter(plan: Cell, tmp_path: Path) -> None:
    learner = teacher(tmp_path, [{"id": "a", "p": 1}])
    trained = plan.fit(learner=learner, predict_on=[plan.task.pool, plan.task.test])
    assert trained.handle.key == plan.ctx.predict(learner, plan.task.pool).key
    assert plan.ctx.predict(trained, plan.task.test).key == plan.ctx.predict(learner, plan.task.test).key
    assert plan.seeded(5).train(learner, plan.task.test, plan.task.labels).handle.key.step == "external-labels"


def test_a_file_says_of_which_rows_it_says_anything(cell: Cell, tmp_path: Path) -> None:
    learner = teacher(tmp_path, sure(cell))
    trained = Trained(learner, cell.ctx.predict(learner, cell.task.pool))
    assert cell.ctx.covers(trained, cell.task.pool)
    assert not cell.ctx.covers(trained, cell.task.test)
    assert cell.ctx.covers(cell.fit(), cell.task.test), "a model says something of every row"


def test_a_name_of_a_file_keeps_its_place_out_of_its_identity(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    found = teacher(tmp_path, [{"id": "a", "p": 1}]).model
    assert is_external(found) and not is_external(identify("world/nano", tmp_path))
    assert found.path == str(tmp_path / "said.jsonl")
    assert str(tmp_path) not in found.identity and "said" not in found.identity
    assert identify_labels("labels:file:../said.jsonl#p", tmp_path / "deep").identity == found.identity
    assert identify_labels(f"labels:file:{tmp_path}/said.jsonl#p", Path("/")).identity == found.identity
    assert identify_labels("labels:file:said.jsonl", tmp_path).identity.endswith("#label"), "the column by default"
    assert num_parameters("labels:file:said.jsonl#p", tmp_path) is None
