"""What a method is given: learners that are changed and never change, and a task that keeps its gold to itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_cell import RECIPE, Cell

from w2s_ray.config.recipe import Check, Recipe
from w2s_ray.core.models import ModelRef
from w2s_ray.core.resources import Resources
from w2s_ray.ops.task import Learner, Oracle, Task

MODEL, OTHER = ModelRef("a", "a@1", "/a"), ModelRef("b", "b@2", "/b")
LOSS = Recipe.model_validate({"loss": {"type": "logconf"}}).loss


def test_a_change_makes_another_learner_and_leaves_the_rest_as_it_was() -> None:
    learner = Learner(MODEL, RECIPE, Resources(cpus=3))
    other = learner.with_recipe(lr=0.5, epochs=7)
    assert (other.recipe.lr, other.recipe.epochs) == (0.5, 7)
    assert other.recipe.model_copy(update={"lr": RECIPE.lr, "epochs": RECIPE.epochs}) == RECIPE == learner.recipe
    assert (other.model, other.resources, other.base) == (learner.model, learner.resources, learner.base)


def test_a_change_to_nothing_is_none() -> None:
    """So that a method may pass on what its user left out."""
    learner = Learner(MODEL, RECIPE.model_copy(update={"loss": LOSS, "check": Check()}))
    assert learner.with_recipe(loss=None, check=None) == learner
    assert learner.with_recipe() == learner


def test_a_probe_has_neither_the_loss_nor_the_early_stopping_of_a_fit() -> None:
    learner = Learner(MODEL, RECIPE.model_copy(update={"loss": LOSS, "check": Check(), "layer": 1}))
    probe = learner.as_probe(l2=0.5)
    assert (probe.recipe.adapt, probe.recipe.check, probe.recipe.l2, probe.recipe.layer) == ("probe", None, 0.5, 1)
    assert probe.recipe.loss == Recipe().loss
    assert probe.recipe.way.solved and not learner.recipe.way.solved


def test_a_learner_starts_from_anothers_weights_with_its_own_recipe(plan: Cell) -> None:
    begun = plan.ctx.read(plan.task.weak, [plan.task.pool])
    own = plan.task.weak.with_recipe(lr=0.5)
    assert own.started_from(begun) == replace(own, base=begun.base)
    assert own.start == {} and begun.start == {"base": begun.base}
    assert own.started_from(begun).started_from(own) == own


def test_gold_is_for_those_who_say_that_they_are_oracles(plan: Cell) -> None:
    with pytest.raises(AssertionError, match="does not say that it is an oracle"):
        plan.task.gold
    oracle = Oracle(plan.gold["pool"], plan.gold["test"])
    assert replace(plan.task, oracle=oracle).gold is oracle


def test_another_model_is_finetuned_as_its_role_is_unless_it_has_a_recipe_of_its_own(plan: Cell) -> None:
    own = RECIPE.model_copy(update={"lr": 0.25})
    task: Task = replace(plan.task, models={"a": MODEL, "b": OTHER}, recipes={("weak", "a"): own})
    assert (task.weak_like("a").model, task.weak_like("a").recipe) == (MODEL, own)
    assert (task.weak_like("b").model, task.weak_like("b").recipe) == (OTHER, task.weak.recipe)
    assert (task.strong_like("a").model, task.strong_like("a").recipe) == (MODEL, task.strong.recipe)
    assert task.strong_like("b").resources == task.strong.resources
    with pytest.raises(KeyError):
        task.weak_like("c")
