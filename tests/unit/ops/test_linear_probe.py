"""The `probe` step: a linear model on frozen features, alone and with others on the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_cell import LABELLED, Cell, one_line

from w2s_ray.config.recipe import Lora
from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.ops.task import Learner, Trained


def probe(cell: Cell, **how: Any) -> Trained:
    return cell.fit(learner=cell.task.weak.as_probe(**how.pop("recipe", {})), **how)


def test_a_record_of_a_probe_says_that_its_model_is_there(cell: Cell) -> None:
    handle = probe(cell, predict_on=[cell.task.pool]).handle
    record = handle.record()
    assert record.value["kept"] == "model"
    assert record.value["supervision"] == ["gold"]
    assert record.value["facts"]["rows"] == LABELLED
    assert set(record.files) == {"probe.safetensors"}
    assert record.inputs["features"] == cell.ctx.embed(cell.task.weak, cell.task.labelled).key.full
    assert handle.key.slug == "world-nano-probe"


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"l2": 0.5}, True),
        ({"layer": 1}, True),
        ({"pooling": "last"}, True),
        ({"prompt": "vaze {text}"}, True),
        ({"features": 0.5}, True),
        ({"lr": 0.5, "epochs": 9, "batch": 2, "bucket": 1, "lora": Lora(rank=2)}, False),
    ],
    ids=str,
)
def test_a_probes_key_counts_what_it_is_solved_of(change: dict[str, Any], counts: bool, plan: Cell) -> None:
    assert (probe(plan, recipe=change).handle.key != probe(plan).handle.key) == counts


def test_a_seed_counts_only_where_it_draws_which_features_are_read(plan: Cell) -> None:
    assert probe(plan, seed=1).handle.key == probe(plan, seed=2).handle.key
    half = {"features": 0.5}
    assert probe(plan, seed=1, recipe=half).handle.key != probe(plan, seed=2, recipe=half).handle.key


def test_a_late_prediction_is_that_of_the_same_probe(cell: Cell) -> None:
    trained = probe(cell, recipe={"l2": 0.3}, predict_on=[cell.task.pool])
    before = trained.handle.record()
    late = cell.ctx.predict(trained, cell.task.test)
    apart = probe(cell, recipe={"l2": 0.3 + 1e-12}, predict_on=[cell.task.test])
    np.testing.assert_allclose(
        cell.ctx.labels(late).probs_NK, cell.ctx.labels(cell.ctx.predict(apart, cell.task.test)).probs_NK, atol=1e-6
    )
    assert cell.ctx.labels(late).ids.tolist() == cell.rows(cell.task.test).ids.tolist()
    assert late.record().made_by == trained.handle.key.full
    assert cell.context.store.record(trained.handle.key) == before


def test_a_probe_is_solved_by_one_process_however_many_fits_are_given(cell: Cell) -> None:
    learner = cell.task.weak.as_probe(l2=0.7)
    many = Learner(learner.model, learner.recipe, Resources(cpus=2, workers=2, zero=1))
    embedded = cell.ctx.embed(learner, cell.task.labelled)  # by one process, and found by the probe
    embedded.record()
    record = cell.fit(learner=many).handle.record()
    assert (record.resources["workers"], record.resources["zero"], record.resources["cpus"]) == (1, "auto", 2)


def test_labels_of_which_all_abstain_teach_no_probe(cell: Cell) -> None:
    gold = cell.labels(cell.task.labels)
    nobody = cell.put(LabelSet.of(gold.ids, gold.probs_NK, mask_N=[False] * LABELLED))
    with pytest.raises(DataError, match=f"none of the {LABELLED} rows has a label") as caught:
        probe(cell, labels=nobody).handle.record()
    assert one_line(caught.value)
