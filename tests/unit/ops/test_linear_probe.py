"""The `probe` step: a linear model on frozen features, alone and with others on the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import LABELLED, Cell, one_line, opened

from w2s_ray.config.recipe import Lora
from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.ops.task import Learner, Member, Trained


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


def three(cell: Cell) -> LabelSet:
    return LabelSet.hard(cell.rows(cell.task.labelled).ids, np.arange(LABELLED) % 3, 3, source="a crowd")


def texts(cell: Cell) -> Answers:
    return Answers.of(cell.rows(cell.task.labelled).ids, ["yes"] * LABELLED, source="a writer")


def nobody(cell: Cell) -> LabelSet:
    gold = cell.labels(cell.task.labels)
    return LabelSet.of(gold.ids, gold.probs_NK, mask_N=[False] * LABELLED)


TEXTS = "the labels of a writer are texts, which a probe cannot learn; give labels of classes, or use adapt: full or"
BAD: dict[str, tuple[Callable[[Cell], list[LabelSet | Answers]], str]] = {
    "more classes": (lambda c: [three(c)], "the labels of a crowd have 3 classes where 2 are wanted"),
    "one of two teachers' classes": (
        lambda c: [c.labels(c.task.labels), three(c)],
        "the labels of a crowd have 3 classes where 2 are wanted",
    ),
    "texts": (lambda c: [texts(c)], TEXTS),
    "texts of one of two teachers": (lambda c: [c.labels(c.task.labels), texts(c)], TEXTS),
    "none at all": (lambda c: [nobody(c)], f"none of the {LABELLED} rows has a label"),
    "those of other rows": (lambda c: [c.labels(c.gold["pool"])], "ids are not among the 28 at hand"),
}


@pytest.mark.parametrize("what", BAD)
def test_labels_that_do_not_suit_the_rows_teach_no_probe(what: str, cell: Cell) -> None:
    make, message = BAD[what]
    trained = probe(cell, labels=[cell.put(one) for one in make(cell)])
    with pytest.raises(DataError, match=message) as caught:
        trained.handle.record()
    assert one_line(caught.value)


@pytest.mark.parametrize("what", BAD)
def test_a_probe_that_cannot_be_solved_fails_alone(what: str, tmp_path: Path) -> None:
    make, message = BAD[what]
    said = {}
    for everyone in (True, False):
        with opened(tmp_path / str(everyone)) as cell:
            learner = cell.task.weak.as_probe(features=0.5)
            members = [Member(learner, cell.task.labelled, cell.task.labels) for _ in range(3)]
            if everyone:
                labels: Any = [cell.put(one) for one in make(cell)]
                members[1] = replace(members[1], labels=labels)
            first, bad, last = cell.ctx.train_many(members, predict_on=[cell.task.pool])
            if everyone:
                with pytest.raises(DataError, match=message):
                    bad.handle.record()
                assert first.handle.value["facts"]["fused"] == 2
            said[everyone] = [cell.ctx.labels(cell.ctx.predict(one, cell.task.pool)).probs_NK for one in (first, last)]
    np.testing.assert_allclose(said[True], said[False], atol=1e-5)
