"""What a recipe decides besides its fields: warm-up steps, the features that are read, whose recipe a model has; and
what each way of adapting means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.config.recipe import Check, Recipe
from w2s_ray.config.schema import Cell, Models, Recipes, StudyConfig


@pytest.mark.parametrize(
    ("warmup", "total", "steps"),
    [(0, 100, 0), (0.1, 100, 10), (0.1, 101, 11), (0.5, 3, 2), (0.001, 10, 1), (1, 100, 1), (40, 100, 40), (40, 30, 30),
     (2.9, 100, 2), (0.99, 1, 1), (5, 0, 0)],
)  # fmt: skip
def test_warm_up_is_a_share_below_one_and_steps_from_one_on(warmup: float, total: int, steps: int) -> None:
    assert Recipe(warmup=warmup).warmup_steps(total) == steps


@given(st.floats(0, 500), st.integers(0, 1000))
def test_warm_up_never_outlasts_the_fit_and_is_none_only_if_none_is_asked_for(warmup: float, total: int) -> None:
    steps = Recipe(warmup=warmup).warmup_steps(total)
    assert 0 <= steps <= total
    assert (steps > 0) == (warmup > 0 and total > 0)


@given(st.floats(0.01, 1), st.integers(1, 200), st.integers(0, 5))
def test_the_features_that_are_read_are_a_share_of_all_drawn_by_the_seed(share: float, width: int, seed: int) -> None:
    read = Recipe(features=share, seed=seed).read_features(width)
    assert len(read) == max(1, round(share * width))
    assert (np.diff(read) > 0).all() and read[0] >= 0 and read[-1] < width
    assert (read == Recipe(features=share, seed=seed).read_features(width)).all()


# --- whose recipe ---

MADE = Recipes(
    weak=Recipe(lr=0.1, epochs=1),
    strong=Recipe(lr=0.2, epochs=2, check=Check()),
    by_model={"a": Recipe(lr=0.3), "b": Recipe(check=None), "c": Recipe(lr=Recipe().lr), "d": Recipe()},
)


@pytest.mark.parametrize(
    ("model", "weak", "strong"),
    [
        ("other", {"lr": 0.1, "epochs": 1, "check": None}, {"lr": 0.2, "epochs": 2, "check": Check()}),
        ("a", {"lr": 0.3, "epochs": 1, "check": None}, {"lr": 0.3, "epochs": 2, "check": Check()}),
        ("b", {"lr": 0.1, "epochs": 1, "check": None}, {"lr": 0.2, "epochs": 2, "check": None}),
        ("c", {"lr": 1e-4, "epochs": 1, "check": None}, {"lr": 1e-4, "epochs": 2, "check": Check()}),
        ("d", {"lr": 0.1, "epochs": 1, "check": None}, {"lr": 0.2, "epochs": 2, "check": Check()}),
    ],
)
def test_a_model_has_its_roles_recipe_with_the_fields_that_are_set_for_it(
    model: str, weak: Mapping[str, Any], strong: Mapping[str, Any]
) -> None:
    """Set to the default, or to null, is set too."""
    for role, fields in (("weak", weak), ("strong", strong)):
        found = MADE.of(role, model)  # type: ignore[arg-type]
        assert {name: getattr(found, name) for name in fields} == fields


# --- what cells are called ---


@pytest.mark.parametrize(
    ("point", "task", "suffix"),
    [
        ({}, "world:topic", ""),
        ({"task.data": "world:topic"}, "world:topic", ""),
        ({"task.seed": 1, "task.labelled": 5}, "world:topic (seed=1, labelled=5)", ""),
        ({"task": {"data": "world:topic", "seed": 1}}, "world:topic (seed=1)", ""),
        ({"task": {"data": "world:topic"}, "task.seed": 2}, "world:topic (seed=2)", ""),
        ({"models.strong": "b"}, "world:topic", ""),
        ({"train.strong.lr": 0.1, "models": {"weak": "a"}}, "world:topic", " (train.strong.lr=0.1)"),
        ({"methods.0.loss": "xent", "task.seed": 1}, "world:topic (seed=1)", " (methods.0.loss=xent)"),
    ],
)
def test_a_cell_is_called_by_what_the_grid_varies(point: dict[str, Any], task: str, suffix: str) -> None:
    config = StudyConfig(
        name="x", task={"data": "world:topic"}, models=Models(weak="a", strong="b"), methods=("naive",)
    )  # type: ignore[arg-type]  # as a YAML has it
    cell = Cell(config, config.methods[0], 0, point)
    assert (cell.task_label, cell.suffix, cell.method_label) == (task, suffix, f"naive{suffix}")


# --- where it runs ---
