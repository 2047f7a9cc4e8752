"""The `embed` step and the features of a trained model: their shapes, whose they are, what they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import SIZES, Cell

from w2s_ray.config.recipe import Layer, Lora
from w2s_ray.core.resources import Resources
from w2s_ray.ops.models import locate
from w2s_ray.ops.task import Learner

Cells = Callable[[str], Cell]


def config_of(learner: Learner) -> dict[str, Any]:
    """What the model's own folder says of it."""
    config: dict[str, Any] = json.loads((Path(locate(learner.model.path)) / "config.json").read_text())
    return config


@pytest.mark.parametrize("layer", [0, 1, "middle", -1])
@pytest.mark.parametrize("trained", [False, True])
def test_every_layer_gives_one_vector_a_row(layer: Layer, trained: bool, cell: Cell) -> None:
    model = cell.fit() if trained else cell.task.weak
    found = cell.ctx.features(cell.ctx.embed(model, cell.task.pool, layer=layer))
    assert found.array_ND.shape == (SIZES["pool"], config_of(cell.task.weak)["hidden_size"])
    assert found.array_ND.dtype == np.float32
    assert np.isfinite(found.array_ND).all()
    assert found.layer == layer
    assert found.ids.tolist() == cell.rows(cell.task.pool).ids.tolist()


def test_a_larger_model_has_wider_vectors_and_its_record_says_so(cell: Cell) -> None:
    handle = cell.ctx.embed(cell.task.strong, cell.task.test)
    width = config_of(cell.task.strong)["hidden_size"]
    assert width > config_of(cell.task.weak)["hidden_size"]
    assert handle.value == {"rows": SIZES["test"], "features": width}
    assert cell.ctx.features(handle).model == handle.key.full, "vectors say whose they are"


def test_the_last_layer_is_the_one_that_is_named_by_its_number(cell: Cell) -> None:
    layers = config_of(cell.task.strong)["num_hidden_layers"]
    last, named = (
        cell.ctx.features(cell.ctx.embed(cell.task.strong, cell.task.test, layer=layer)).array_ND
        for layer in (-1, layers)
    )
    np.testing.assert_array_equal(last, named)
    first = cell.ctx.features(cell.ctx.embed(cell.task.strong, cell.task.test, layer=0)).array_ND
    assert not np.allclose(first, last)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"layer": 1}, True),
        ({"pooling": "last"}, True),
        ({"prompt": "vaze {text}"}, True),
        ({"precision": "bf16"}, True),
        ({"lr": 0.5, "epochs": 7, "seed": 3, "l2": 1.0, "features": 0.5, "answer_tokens": 9}, False),
        ({"adapt": "probe"}, False),
        ({"adapt": "lora", "lora": Lora(rank=2)}, False),
    ],
    ids=str,
)
def test_vectors_depend_on_what_is_read_and_where_and_on_no_way_of_training(
    change: dict[str, Any], counts: bool, plan: Cell
) -> None:
    key = plan.ctx.embed(plan.task.weak, plan.task.pool).key
    assert (plan.ctx.embed(plan.task.weak.with_recipe(**change), plan.task.pool).key != key) == counts
    moved = replace(plan.task.weak.model, path="/elsewhere")
    assert plan.ctx.embed(replace(plan.task.weak, model=moved), plan.task.pool).key == key
    assert plan.ctx.embed(replace(plan.task.weak, resources=Resources(cpus=3)), plan.task.pool).key == key
    assert plan.ctx.embed(plan.task.weak, plan.task.pool, layer=-1).key == key
    assert plan.ctx.embed(plan.task.weak, plan.task.test).key != key
    assert plan.ctx.embed(plan.task.strong, plan.task.pool).key != key


def test_a_probe_leaves_its_models_vectors_as_they_were(plan: Cell) -> None:
    probe = plan.fit(learner=plan.task.weak.as_probe())
    assert plan.ctx.embed(probe, plan.task.pool).key == plan.ctx.embed(plan.task.weak, plan.task.pool).key
    assert plan.ctx.embed(plan.fit(), plan.task.pool).key.step == "embed-trained"


def test_vectors_of_a_trained_model_are_made_with_its_predictions_and_match_them(cell: Cell) -> None:
    """The head is linear: the difference of its logits is a function of these vectors alone."""
    trained = cell.fit(seed=3)
    handle = cell.ctx.embed(trained, cell.task.pool)
    said = cell.ctx.labels(cell.ctx.predict(trained, cell.task.pool)).probs_NK
    assert handle.record().made_by == trained.handle.key.full
    array_ND = cell.ctx.features(handle).array_ND.astype(np.float64)
    design = np.hstack([array_ND, np.ones((len(array_ND), 1))])
    margins = np.log(said[:, 1] / said[:, 0])
    solution, *_ = np.linalg.lstsq(design, margins, rcond=None)
    np.testing.assert_allclose(design @ solution, margins, atol=1e-3)


def test_the_vector_of_a_preference_is_signed_and_of_a_text_is_not(cells: Cells) -> None:
    for kind, signed in (("preference", True), ("text", False)):
        cell = cells(kind)
        assert cell.ctx.features(cell.ctx.embed(cell.task.weak, cell.task.pool)).signed == signed
