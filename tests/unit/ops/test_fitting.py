"""What steps that fit have in common: an error of one member is its own, and no kind of labels passes unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import LABELLED, Cell, opened

from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.ops.fitting import caught
from w2s_ray.ops.task import Member, Trained


def test_an_error_is_returned_and_a_wish_to_stop_is_not() -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert caught(int, "7", base=8) == 7
    error = ValueError("no")
    assert caught(fail, error) is error
    for stop in (KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(stop)):
            caught(fail, stop)


def members(cell: Cell, *labels: Any, fuse: bool | str = "auto", **recipe: Any) -> list[Trained]:
    """One member for each of these labels, on the labelled rows."""
    learner = replace(cell.task.weak.with_recipe(**recipe), resources=Resources(fuse=fuse))  # type: ignore[arg-type]
    return cell.ctx.train_many(
        [Member(learner, cell.task.labelled, one) for one in labels], predict_on=[cell.task.pool]
    )


@pytest.mark.parametrize(
    "recipe", [{}, {"adapt": "lora"}, {"features": 0.5}, {"adapt": "probe", "features": 0.5}], ids=str
)
def test_members_that_are_computed_as_one_are_those_that_are_computed_apart(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    said: dict[bool, list[Any]] = {}
    for fuse in (True, False):
        with opened(tmp_path / str(fuse)) as cell:
            labels = cell.labels(cell.task.labels)
            half = np.arange(LABELLED) % 2 > 0
            other = cell.put(LabelSet.of(labels.ids, labels.probs_NK, mask_N=half))
            trained = members(cell, cell.task.labels, cell.task.labels, other, fuse=fuse, **recipe)
            said[fuse] = [cell.ctx.labels(cell.ctx.predict(one, cell.task.pool)).probs_NK for one in trained]
            facts = [one.handle.value["facts"] for one in trained]
            assert [one.get("fused") for one in facts] == ([3, 3, 3] if fuse else [None] * 3)
            assert [one["rows"] / facts[2]["rows"] for one in facts] == [2, 2, 1]
    np.testing.assert_allclose(said[True], said[False], atol=1e-5)
    assert np.std(said[True], axis=0).max() > 1e-4, "they are three models"


def test_a_member_that_cannot_be_fitted_fails_alone(cell: Cell) -> None:
    gold = cell.labels(cell.task.labels)
    nobody = cell.put(LabelSet.of(gold.ids, gold.probs_NK, mask_N=[False] * LABELLED))
    one, bad, other = members(cell, cell.task.labels, nobody, cell.task.labels, fuse=True, epochs=1)
    with pytest.raises(DataError, match=f"none of the {LABELLED} rows has a label"):
        bad.handle.record()
    for fine in (one, other):
        assert fine.handle.value["kept"] == "predictions"
        assert len(cell.ctx.labels(cell.ctx.predict(fine, cell.task.pool))) == 28


def test_of_members_that_are_there_already_only_the_new_ones_are_fitted(tmp_path: Path) -> None:
    with opened(tmp_path) as cell:
        first = members(cell, *[cell.task.labels] * 2, fuse=True)
        before = [one.handle.record() for one in first]
    with opened(tmp_path) as cell:
        grown = members(cell, *[cell.task.labels] * 4, fuse=True)
        assert [one.handle.record() for one in grown[:2]] == before
        assert grown[3].handle.value["facts"]["fused"] == 2
        assert {key for key in cell.context.executed if key.step == "train"} == {one.handle.key for one in grown[2:]}
