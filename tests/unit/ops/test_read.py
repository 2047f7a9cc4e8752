"""The `read` step: a pretrained model goes on with its pretraining on a task's texts; no label has a part in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import RECIPE, SIZES, Cell, one_line

from w2s_ray.backends.inference.hf import open_model
from w2s_ray.config.recipe import Check, Lora, Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.resources import Resources
from w2s_ray.ops.models import locate
from w2s_ray.ops.read import texts_of
from w2s_ray.ops.task import Learner

Cells = Callable[[str], Cell]


def read(cell: Cell, *, seed: int = 0, resources: Resources | None = None, **recipe: Any) -> Learner:
    learner = replace(cell.task.weak.with_recipe(**recipe), resources=resources or Resources())
    return cell.seeded(seed).read(learner, [cell.task.labelled, cell.task.pool])


def key(learner: Learner) -> str:
    assert learner.base is not None
    return learner.base.key.full


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_model_that_has_read_texts_is_less_surprised_by_them(adapt: str, cell: Cell) -> None:
    learner = read(cell, adapt=adapt)
    assert learner.base is not None
    texts = cell.rows(cell.task.pool).inputs["text"].tolist()
    before, after = (
        open_model(str(path), Recipe(), Resources()).surprise(texts)
        for path in (locate(cell.task.weak.model.path), learner.base.artifact().path)
    )
    assert after < before - 0.02
    record = learner.base.record()
    assert (record.value["kept"], record.value["rows"]) == ("model", 24 + SIZES["pool"])
    assert record.value["facts"]["rows"] == RECIPE.epochs * record.value["rows"]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(record.files)
    assert "adapter_model.safetensors" not in record.files, "adapters have become part of the weights"


def test_what_is_trained_afterwards_starts_from_what_was_read(cell: Cell) -> None:
    learner = read(cell)
    assert (learner.model, learner.recipe) == (cell.task.weak.model, cell.task.weak.recipe)
    trained = cell.fit(learner=learner, predict_on=[cell.task.pool])
    assert trained.handle.record().inputs["base"] == key(learner)
    assert trained.handle.key != cell.fit(predict_on=[cell.task.pool]).handle.key
    own, others = (
        cell.ctx.labels(cell.ctx.predict(one, cell.task.pool)).probs_NK
        for one in (trained, cell.fit(predict_on=[cell.task.pool]))
    )
    assert np.abs(own - others).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"lr": 0.02}, True),
        ({"epochs": 1}, True),
        ({"precision": "bf16"}, True),
        ({"adapt": "lora"}, True),
        ({"loss": Recipe.model_validate({"loss": {"type": "logconf"}}).loss}, False),
        ({"prompt": "vaze {text}", "pooling": "last", "layer": 0, "head_init": "normal", "features": 0.5}, False),
        ({"check": Check(), "lora": Lora(rank=2), "answer_tokens": 9}, False),
    ],
    ids=str,
)
def test_of_reading_counts_how_words_are_learned_and_nothing_of_labels(
    change: dict[str, Any], counts: bool, plan: Cell
) -> None:
    assert (key(read(plan, **change)) != key(read(plan))) == counts
    assert key(read(plan, seed=1)) != key(read(plan))
    assert key(plan.ctx.read(plan.task.weak.with_recipe(seed=99), [plan.task.labelled, plan.task.pool])) == key(
        read(plan)
    )
    begun = plan.ctx.start_from(plan.fit())
    assert key(plan.ctx.read(begun, [plan.task.labelled, plan.task.pool])) != key(read(plan))
    assert key(read(plan, resources=Resources(cpus=3, micro_tokens=64))) == key(read(plan))
    assert key(read(plan, adapt="lora", lora=Lora(rank=2))) != key(read(plan, adapt="lora"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapt": "probe"}, "adapt: probe changes no weight, so the model cannot read the task's texts first"),
        (
            {"adapt": "lora", "resources": Resources(zero=1), "seed": 1},
            "spread over processes cannot be merged into the model",
        ),
    ],
)
def test_ways_of_adapting_that_leave_no_whole_model_are_refused(
    change: dict[str, Any], message: str, cell: Cell
) -> None:
    learner = read(cell, **change)
    assert learner.base is not None
    with pytest.raises(ConfigError, match=message) as caught:
        learner.base.record()
    assert one_line(caught.value)


KINDS: dict[str, tuple[dict[str, list[str]], tuple[str, ...], list[str]]] = {
    "text": ({"text": ["a", "b", "a"]}, ("0", "1"), ["a", "b"]),
    "pair": ({"first": ["a", "b", "a"], "second": ["x", "x", "x"]}, ("0", "1"), ["a\nx", "b\nx"]),
    "preference": ({"first": ["a", "b", "a"], "second": ["b", "c", "d"]}, ("0", "1"), ["a", "b", "c", "d"]),
    "choice": (
        {"prompt": ["a", "b", "a"], "choices": [json.dumps(["x", "y"])] * 3},
        ("0", "1"),
        ["a", "b"],  # no candidate: which of them is right is what a label says
    ),
    "generation": ({"prompt": ["b", "b", "a"]}, (), ["b", "a"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_text_is_read_once_whichever_rows_hold_it(kind: Any, tmp_path: Path) -> None:
    columns, classes, texts = KINDS[kind]
    rows = Dataset.of("n", "pool", kind, classes, ["1", "2", "3"], **columns)
    for parts in ([rows], [rows, rows], [rows.select(["2"]), rows]):
        read = texts_of(parts)
        assert sorted(read.inputs["prompt"]) == sorted(texts)
        assert (read.kind.name, read.classes) == ("generation", ())
    assert texts_of([rows, rows]).digest == texts_of([rows]).digest


def test_no_rows_are_read_in_vain(plan: Cell, cell: Cell) -> None:
    before = len(plan.context.submitted())
    with pytest.raises(DataError, match=r"read: \[\] names no rows to read; give at least one handle") as caught:
        plan.ctx.read(plan.task.weak, [])
    assert one_line(caught.value)
    assert len(plan.context.submitted()) == before
    none = cell.put(cell.rows(cell.task.pool).select([]))
    learner = cell.ctx.read(cell.task.weak, [none])
    assert learner.base is not None
    with pytest.raises(DataError, match=r"to read hold no text \(world:topic pool\); give at least one") as caught:
        learner.base.record()
    assert one_line(caught.value)


@pytest.mark.parametrize("texts", [[""], ["", "  "]])
def test_empty_texts_are_read_in_vain(texts: list[str], cell: Cell) -> None:
    ids = [str(n) for n in range(len(texts))]
    rows = cell.put(Dataset.of("mine", "pool", "text", ("0", "1"), ids, text=texts))
    learner = cell.ctx.read(cell.task.weak, [rows])
    assert learner.base is not None
    with pytest.raises(DataError) as caught:
        learner.base.record()
    assert one_line(caught.value)
