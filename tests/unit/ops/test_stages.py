"""Students in turn as a table: a row each, whose numbers the scorer puts in from gold."""

from __future__ import annotations

import numpy as np
import pytest
from small_cell import Cell

from w2s_ray.core.diagnostics import Scored
from w2s_ray.eval.diagnose import submit_diagnose
from w2s_ray.eval.gold import Gold
from w2s_ray.ops.stages import Stage, students_in_turn


def stages(cell: Cell) -> list[Stage]:
    """A student of gold, and one of what that one says."""
    first = cell.fit(predict_on=[cell.task.pool, cell.task.test])
    said = cell.ctx.predict(first, cell.task.pool)
    second = cell.ctx.train(cell.task.strong, cell.task.pool, said, predict_on=[cell.task.test])
    return [Stage("the weak one", first, cell.gold["pool"]), Stage("the strong one", second, said)]


def test_a_row_a_student_in_their_order_and_nothing_is_known_before_the_scorer(cell: Cell) -> None:
    given = stages(cell)
    table = students_in_turn(cell.ctx, cell.task, given)
    assert [row["stage"] for row in table.rows] == [1, 2]
    assert [row["name"] for row in table.rows] == ["the weak one", "the strong one"]
    assert [column.name for column in table.columns] == list(table.rows[0])
    for row, stage in zip(table.rows, given, strict=True):
        labels, student = row["labels"], row["student"]
        assert isinstance(labels, Scored) and isinstance(student, Scored)
        assert (labels.rows, labels.labels.key) == ("pool", stage.labels.key)
        assert (student.rows, student.labels.key) == ("test", cell.ctx.predict(stage.student, cell.task.test).key)


def test_the_scorer_measures_each_student_and_its_labels(cell: Cell) -> None:
    given = stages(cell)
    gold = Gold(cell.task.labels, cell.gold["pool"], cell.gold["test"], cell.prepared)
    (table,) = submit_diagnose(cell.context, (students_in_turn(cell.ctx, cell.task, given),), gold).filled()
    for row, stage in zip(table["rows"], given, strict=True):
        for column, split, labels in (
            ("labels", "pool", stage.labels),
            ("student", "test", cell.ctx.predict(stage.student, cell.task.test)),
        ):
            said, truth = cell.labels(labels), cell.labels(cell.gold[split])
            assert row[column] == pytest.approx(np.mean(said.hard_N == truth.align(said.ids).hard_N)), column
    assert table["rows"][0]["labels"] == 1, "gold is right"


def test_no_students_make_an_empty_table(plan: Cell) -> None:
    assert students_in_turn(plan.ctx, plan.task, []).rows == ()
