"""Predictions that ride on a training: asked for early, late, with weights kept and without, they are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from studies import config, write_rows

from w2s_ray.config.load import expand
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.ops.task import Task
from w2s_ray.ops.verbs import Verbs
from w2s_ray.study.setting import Setting


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[tuple[Verbs, Task, Context]]:
    write_rows(tmp_path)
    study = expand(config("naive"), tmp_path)
    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as context:
        task, _ = Setting(context, study.base).task(study.cells[0])
        yield Verbs(context, seed=0), task, context


@pytest.mark.parametrize("keep", [False, True])
def test_a_late_rider_equals_an_early_one(cell: tuple[Verbs, Task, Context], keep: bool) -> None:
    ctx, task, context = cell
    trained = ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool], keep_weights=keep)
    early = ctx.labels(ctx.predict(trained, task.pool))
    before = trained.handle.record()
    late_handle = ctx.predict(trained, task.test)
    late = ctx.labels(late_handle)
    assert before.value["kept"] == ("model" if keep else "predictions")
    assert late_handle.record().value["refit"] is not keep
    assert late_handle.record().made_by == trained.handle.key.full
    assert context.store.record(trained.handle.key) == before
    # The same rows once more, late: the model that serves late riders is the one that served the early ones.
    context.store.set_aside(ctx.predict(trained, task.pool).key)
    with Context(context.store, InlineExecutor) as again:
        verbs = Verbs(again, seed=0)
        model = verbs.train(
            task.weak,
            again.adopt(task.labelled.key),
            again.adopt(task.labels.key),
            predict_on=[again.adopt(task.pool.key)],
            keep_weights=keep,
        )
        remade = verbs.labels(verbs.predict(model, again.adopt(task.pool.key)))
    assert np.array_equal(remade.probs_NK, early.probs_NK)
    assert remade.ids.tolist() == early.ids.tolist()
    assert set(late.ids) == set(ctx.rows(task.test).ids)


def test_weights_are_kept_when_nothing_rides(cell: tuple[Verbs, Task, Context]) -> None:
    ctx, task, _ = cell
    trained = ctx.train(task.weak, task.labelled, task.labels)
    assert trained.handle.value["kept"] == "model"
    assert {path.suffix for path in trained.handle.artifact().path.iterdir()} >= {".safetensors", ".json"}
    assert ctx.predict(trained, task.pool).record().value["refit"] is False


def test_features_of_pretrained_and_trained_models(cell: tuple[Verbs, Task, Context]) -> None:
    ctx, task, _ = cell
    trained = ctx.train(task.weak, task.labelled, task.labels)
    base, tuned = ctx.features(ctx.embed(task.weak, task.pool)), ctx.features(ctx.embed(trained, task.pool))
    assert base.ids.tolist() == tuned.ids.tolist() == ctx.rows(task.pool).ids.tolist()
    assert base.array_ND.shape == tuned.array_ND.shape
    assert not np.allclose(base.array_ND, tuned.array_ND)
    assert isinstance(ctx.features(ctx.embed(task.weak, task.pool)).array_ND.base, np.memmap)


def test_labels_from_a_block_go_in_by_their_content(cell: tuple[Verbs, Task, Context]) -> None:
    ctx, task, _ = cell
    teacher = ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool])
    labels = ctx.labels(ctx.predict(teacher, task.pool))
    handle = ctx.put(labels)
    student = ctx.train(task.strong, task.pool, handle, predict_on=[task.pool])
    assert student.handle.value["supervision"] == [handle.key.full]
    several = ctx.train(task.strong, task.pool, [handle, ctx.predict(teacher, task.pool)], predict_on=[task.pool])
    assert several.handle.key != student.handle.key
    assert len(ctx.labels(ctx.predict(several, task.pool))) == len(labels)
