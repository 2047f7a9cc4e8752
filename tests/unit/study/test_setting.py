"""What a cell needs before its method runs: made once for all cells, by the names in the YAML, and without gold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from studies import FIT, ROWS, config

from w2s_ray.config.load import Study, expand
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.models import ModelRef
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.store import open_store
from w2s_ray.ops.task import Learner
from w2s_ray.study.setting import Setting, ceiling_learner

NANO, MICRO, MINI = "world/nano", "world/micro", "world/mini"


@pytest.fixture
def setting(rows: Path, store_url: str) -> Iterator[Setting]:
    with Context(open_store(store_url), InlineExecutor) as context:
        yield Setting(context, rows)


def study(setting: Setting, *methods: Any, **more: Any) -> Study:
    return expand(config("naive") | {"methods": list(methods or ["naive"]), **more}, setting.base)


def steps(setting: Setting, name: str) -> int:
    return sum(key.step == name for key in setting.context.executed)


def test_cells_with_equal_rows_share_their_preparation_and_others_do_not(setting: Setting) -> None:
    made = study(
        setting, "naive", "gold_filter", seeds=[0, 1],
        grid={"train.strong.lr": [0.1, 0.2], "task.seed": [0, 1]},
    )  # fmt: skip
    handles = [setting.prepared(cell) for cell in made.cells]
    assert len(handles) == 16 and len({id(handle) for handle in handles}) == 2
    for handle in handles:
        handle.record()
    assert steps(setting, "prepare") == 2
    keys = {cell.config.task.seed: setting.prepared(cell).key for cell in made.cells}
    assert keys[0] != keys[1]


def test_a_task_is_the_rows_and_learners_that_the_cell_names(setting: Setting) -> None:
    made = study(
        setting,
        train={"weak": FIT, "strong": FIT | {"lr": 0.02}, "by_model": {MICRO: {"epochs": 7}}},
        resources={"weak": {"cpus": 2}, "strong": {"cpus": 3}},
    )
    (cell,) = made.cells
    task, gold = setting.task(cell)
    assert (task.weak.model.name, task.strong.model.name) == (NANO, MICRO)
    assert (task.weak.recipe, task.strong.recipe) == (cell.config.recipe("weak"), cell.config.recipe("strong"))
    assert (task.strong.recipe.epochs, task.strong.recipe.lr, task.weak.recipe.epochs) == (7, 0.02, FIT["epochs"])
    asked = (Resources(cpus=2, gpus="auto"), Resources(cpus=3, gpus="auto"))
    assert (task.weak.resources, task.strong.resources) == asked
    for name, most in ROWS.items():
        assert most / 2 < getattr(task, name).value["rows"] <= most
    assert task.num_classes == 2 and task.models == {} and task.recipes == {}
    assert gold.labelled.key == task.labels.key and len({gold.labelled.key, gold.pool.key, gold.test.key}) == 3


@pytest.mark.parametrize(("heldout", "pool_heldout"), [(0, 0), (0.2, 0), (0, 0.2), (0.2, 0.2)])
def test_rows_that_are_held_out_are_there_where_they_are_asked_for(
    setting: Setting, heldout: float, pool_heldout: float
) -> None:
    asked = {"data": "file:rows.jsonl", **ROWS, "heldout": heldout, "pool_heldout": pool_heldout}
    task, gold = setting.task(study(setting, task=asked).cells[0])
    assert (
        (task.heldout is not None) == (task.heldout_labels is not None) == (gold.heldout is not None) == (heldout > 0)
    )
    assert (task.pool_heldout is not None) == (pool_heldout > 0)
    parts = [one for one in (task.labelled, task.heldout, task.pool, task.pool_heldout, task.test) if one is not None]
    ids = [set(map(str, Dataset.load(one.artifact().path).ids)) for one in parts]
    assert all(ids) and len(set().union(*ids)) == sum(map(len, ids)), "no row is in two of them"


def handles_of(value: Any) -> list[Handle]:
    """All that can be reached from a task."""
    if isinstance(value, Handle):
        return [value]
    inside = value.values() if isinstance(value, dict) else [getattr(value, f.name) for f in fields(value)] if hasattr(
        value, "__dataclass_fields__"
    ) else []  # fmt: skip
    return [found for inner in inside for found in handles_of(inner)]


def test_a_method_reaches_gold_of_pool_and_test_only_if_it_says_that_it_is_an_oracle(setting: Setting) -> None:
    made = study(setting, "naive", "gold_filter", {"type": "early_stop", "by": "weak_labels"})
    for cell in made.cells:
        task, gold = setting.task(cell)
        reached = {handle.key for handle in handles_of(task)}
        assert gold.labelled.key in reached, "its own half's"
        assert ({gold.pool.key, gold.test.key} <= reached) == cell.method.oracle
        assert bool({gold.pool.key, gold.test.key} & reached) == cell.method.oracle
    assert [cell.method.oracle for cell in made.cells] == [False, True, False]


def test_the_ceiling_learns_by_cross_entropy_and_all_else_as_the_student() -> None:
    recipe = Recipe.model_validate(FIT | {"loss": "logconf", "adapt": "lora", "check": {"every": 3}})
    strong = Learner(ModelRef("a", "a@1", "/a"), recipe, Resources(cpus=3))
    ceiling = ceiling_learner(strong)
    assert getattr(ceiling.recipe.loss, "type", "") == "xent"
    assert ceiling.recipe.model_copy(update={"loss": recipe.loss}) == recipe
    assert (ceiling.model, ceiling.resources, ceiling.base) == (strong.model, strong.resources, None)
    assert ceiling_learner(ceiling) == ceiling
