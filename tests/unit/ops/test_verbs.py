"""What a method sees as `ctx`: ensembles and their seeds, what rides on a fit, and what is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cell import HELDOUT, SIZES, Cell, one_line

from w2s_ray.blocks.combiners.mean import Weighted
from w2s_ray.config.recipe import Check, Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.labels import LabelSet
from w2s_ray.ops.task import Member
from w2s_ray.ops.verbs import SEEDS, member_seed

Cells = Callable[[str], Cell]
LOGCONF = Recipe.model_validate({"loss": {"type": "logconf"}}).loss


# ---- ensembles


@given(st.integers(0, 2**40), st.integers(0, 500), st.integers(0, 500))
def test_a_members_seed_is_its_place_s_alone(seed: int, place: int, other: int) -> None:
    assert 0 <= member_seed(seed, place) < SEEDS
    assert (member_seed(seed, place) == member_seed(seed, other)) == (place == other)
    assert member_seed(seed, place) != member_seed(seed + 1, place)


def member(cell: Cell, **recipe: Any) -> Member:
    return Member(cell.task.weak.with_recipe(**recipe), cell.task.labelled, cell.task.labels)


def test_a_member_is_the_fit_of_its_seed_wherever_it_is_trained(plan: Cell) -> None:
    """A larger ensemble begins with a smaller one, and one that grows later has the same members."""
    keys = [one.handle.key for one in plan.ctx.train_many([member(plan)] * 4, predict_on=[plan.task.pool])]
    assert len(set(keys)) == 4
    few = [one.handle.key for one in plan.ctx.train_many([member(plan)] * 2, predict_on=[plan.task.test])]
    later = [one.handle.key for one in plan.ctx.train_many([member(plan)] * 2, predict_on=[], first=2)]
    assert few + later == keys
    assert [plan.fit(seed=member_seed(0, place)).handle.key for place in range(4)] == keys
    assert plan.fit(seed=0).handle.key not in keys
    other = plan.seeded(1).train_many([member(plan)], predict_on=[plan.task.pool])
    assert other[0].handle.key not in keys


def test_members_that_are_one_fit_are_refused_by_their_places(plan: Cell) -> None:
    probe = replace(member(plan), learner=plan.task.weak.as_probe())
    with pytest.raises(ConfigError, match="members 1 and 3 of the ensemble are the same fit") as caught:
        plan.ctx.train_many([probe, member(plan), probe], predict_on=[plan.task.pool])
    assert one_line(caught.value)
    with pytest.raises(ConfigError, match="members 4 and 5 of the ensemble are the same fit"):
        plan.ctx.train_many([probe, probe], predict_on=[plan.task.pool], first=3)
    subspaces = [replace(probe, learner=plan.task.weak.as_probe(features=0.5))] * 2
    assert len({one.handle.key for one in plan.ctx.train_many(subspaces, predict_on=[plan.task.pool])}) == 2


def test_a_combiner_that_learns_does_so_from_held_out_rows_alone(cell: Cell) -> None:
    votes_on = cell.ctx.votes_on(cell.task, Weighted())
    assert [one.value["rows"] for one in votes_on] == [SIZES["pool"], HELDOUT]
    trained = cell.ctx.train_many([member(cell)] * 2, predict_on=votes_on)
    before = len(cell.context.executed)
    labels, _ = cell.ctx.combine(Weighted(), trained, cell.task)
    assert cell.ctx.labels(labels).ids.tolist() == cell.rows(cell.task.pool).ids.tolist()
    (key,) = [key for key in cell.context.executed[before:] if key.step == "combine"]
    inputs = cell.context.adopt(key).record().inputs
    assert cell.task.heldout is not None and cell.task.heldout_labels is not None
    assert inputs["truth"] == cell.task.heldout_labels.key.full
    for name, rows in (("known", cell.task.heldout), ("votes", cell.task.pool)):
        assert inputs[name] == [cell.ctx.predict(one, rows).key.full for one in trained]


@pytest.mark.parametrize("missing", ["heldout", "heldout_labels"])
def test_held_out_rows_that_are_not_there_are_asked_for_by_name(missing: str, plan: Cell) -> None:
    assert plan.ctx.heldout(plan.task) == (plan.task.heldout, plan.task.heldout_labels)
    task = replace(plan.task, **{missing: None})
    for wants in (lambda: plan.ctx.heldout(task), lambda: plan.ctx.votes_on(task, Weighted())):
        with pytest.raises(ConfigError, match=r"task.heldout is 0, .*; set it to a share above 0") as caught:
            wants()
        assert one_line(caught.value)


# ---- riders


def test_what_is_always_predicted_and_what_is_named_is_made_by_the_fit_and_once(cell: Cell) -> None:
    ctx = cell.seeded(11, cell.task.test)
    twice = [cell.task.pool, cell.task.pool]
    trained = ctx.train(cell.task.weak, cell.task.labelled, cell.task.labels, predict_on=twice)
    before = len(cell.context.executed)
    trained.handle.record()
    made = [ctx.predict(trained, rows) for rows in (cell.task.pool, cell.task.test)]
    assert [one.record().made_by for one in made] == [trained.handle.key.full] * 2
    assert [one.value["refit"] for one in made] == [False, False]
    assert trained.handle.value["kept"] == "predictions"
    new = [key.step for key in cell.context.executed[before:]]
    assert (new.count("train"), new.count("predict")) == (1, 2)


def test_features_and_weights_may_be_asked_for_after_a_fit_that_kept_none(cell: Cell) -> None:
    trained = cell.fit(seed=12, predict_on=[cell.task.pool])
    before = trained.handle.record()
    vectors = cell.ctx.embed(trained, cell.task.pool)
    start = cell.ctx.start_from(trained)
    assert start.base is not None
    assert vectors.value == start.base.value == {"refit": True}
    assert trained.handle.record() == before
    again = cell.ctx.labels(cell.ctx.predict(trained, cell.task.test))
    assert len(again) == SIZES["test"]


def test_a_probe_changed_no_weights_so_what_starts_from_it_is_the_model(plan: Cell) -> None:
    probe = plan.fit(learner=plan.task.weak.as_probe())
    assert plan.ctx.start_from(probe) == probe.learner
    assert plan.ctx.start_from(probe).base is None


# ---- looking into things, and refusals


def test_verbs_look_into_what_they_made(cell: Cell) -> None:
    rows = cell.ctx.rows(cell.task.pool)
    assert isinstance(rows, Dataset) and rows.digest == cell.rows(cell.task.pool).digest
    mine = LabelSet.of(rows.ids, np.tile([0.25, 0.75], (len(rows), 1)), source="me")
    handle = cell.ctx.put(mine)
    assert cell.ctx.labels(handle).digest == cell.ctx.outputs(handle).digest == mine.digest
    assert cell.ctx.labels(handle).source == "me"
    assert cell.ctx.put(rows).key == cell.task.pool.key


@pytest.mark.parametrize(
    ("recipe", "head", "message"),
    [
        ({"loss": LOGCONF}, False, "loss: 'logconf' with adapt: probe; a probe is solved for cross-entropy"),
        ({"check": Check()}, False, "check is set with adapt: probe; .* nothing to stop early"),
        ({}, True, "hands_on is head with adapt: probe; a probe is solved, so it starts from nothing"),
    ],
)
def test_what_a_probe_has_no_use_for_is_refused_before_anything_is_asked_for(
    recipe: dict[str, Any], head: bool, message: str, plan: Cell
) -> None:
    probe = plan.fit(learner=plan.task.weak.as_probe())
    learner = plan.task.weak.with_recipe(adapt="probe", **recipe)
    before = len(plan.context.submitted())
    with pytest.raises(ConfigError, match=message) as caught:
        plan.fit(learner=learner, head=probe if head else None)
    assert one_line(caught.value)
    assert len(plan.context.submitted()) == before
