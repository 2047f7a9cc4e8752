"""The `train` step: what its key counts, what its record holds, which rows it learns from, what rides on it, and that
it goes on where it was stopped."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import LABELLED, RECIPE, Cell, one_line, opened

from w2s_ray.backends.models.classifier import build_classifier
from w2s_ray.blocks.linear import Probe
from w2s_ray.config.recipe import Check, Lora, Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import AlignmentError, ConfigError, DataError
from w2s_ray.core.identity import restore
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.engine.executor import InlineExecutor, Started
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import Call
from w2s_ray.ops.models import locate
from w2s_ray.ops.task import Trained
from w2s_ray.ops.train import stack_of

Fit = Callable[[Cell], Trained]


def weak(cell: Cell, **recipe: Any) -> Trained:
    return cell.fit(learner=cell.task.weak.with_recipe(**recipe))


# ---- keys

SAME: dict[str, Fit] = {
    "a model that lies elsewhere": lambda c: cell_with_model(c, name="other", path="/elsewhere"),
    "more cores and fewer tokens at once": lambda c: on(c, Resources(cpus=4, micro_tokens=512, checkpoint_every_s=1)),
    "several processes": lambda c: on(c, Resources(workers=2, zero=1)),
    "weights that are kept": lambda c: c.fit(keep_weights=True),
    "predictions that ride": lambda c: c.fit(predict_on=[c.task.pool, c.task.test]),
    "rows that are always predicted": lambda c: c.seeded(0, c.task.test).train(
        c.task.weak, c.task.labelled, c.task.labels
    ),
    "the penalty of a probe": lambda c: weak(c, l2=0.5),
    "adapters that are not used": lambda c: weak(c, lora=Lora(rank=2)),
    "a seed in the recipe, where the cell's counts": lambda c: weak(c, seed=99),
    "rows in another order": lambda c: c.fit(
        rows=c.put(c.rows(c.task.labelled).select(c.rows(c.task.labelled).ids[::-1]))
    ),
}
OTHER: dict[str, Fit] = {
    "the plain fit": lambda c: c.fit(),
    "the learning rate": lambda c: weak(c, lr=0.02),
    "the loss": lambda c: weak(c, loss=restore(Recipe, {"loss": {"type": "logconf"}}).loss),
    "the prompt": lambda c: weak(c, prompt="vaze {text}"),
    "adapters": lambda c: weak(c, adapt="lora"),
    "smaller adapters": lambda c: weak(c, adapt="lora", lora=Lora(rank=2)),
    "early stopping": lambda c: weak(c, check=Check()),
    "the seed": lambda c: c.fit(seed=1),
    "the model": lambda c: c.fit(learner=c.task.strong),
    "the model's bytes": lambda c: cell_with_model(c, identity="world-nano@0"),
    "the rows": lambda c: c.fit(rows=c.task.pool),
    "the labels": lambda c: c.fit(labels=c.gold["pool"]),
    "two teachers": lambda c: c.fit(labels=[c.task.labels, c.gold["pool"]]),
    "the same two in another order": lambda c: c.fit(labels=[c.gold["pool"], c.task.labels]),
    "one teacher of a list": lambda c: c.fit(labels=[c.task.labels]),
    "rows to check by": lambda c: c.fit(check=(c.task.pool, c.gold["pool"])),
    "a head to start as": lambda c: c.fit(head=c.fit(learner=c.task.weak.as_probe())),
    "weights to start from": lambda c: c.fit(learner=c.ctx.start_from(c.fit())),
    "other weights to start from": lambda c: c.fit(learner=c.ctx.start_from(c.fit(seed=1))),
}


def cell_with_model(cell: Cell, **changes: str) -> Trained:
    return cell.fit(learner=replace(cell.task.weak, model=replace(cell.task.weak.model, **changes)))


def on(cell: Cell, resources: Resources) -> Trained:
    return cell.fit(learner=replace(cell.task.weak, resources=resources))


@pytest.mark.parametrize("what", SAME)
def test_what_a_fit_does_not_learn_from_is_in_no_key(what: str, plan: Cell) -> None:
    assert SAME[what](plan).handle.key == plan.fit().handle.key


def test_whatever_a_fit_learns_from_is_in_its_key(plan: Cell) -> None:
    keys = {what: make(plan).handle.key for what, make in OTHER.items()}
    twice = {what: key for what, key in keys.items() if list(keys.values()).count(key) > 1}
    assert not twice
    assert {key.step for key in keys.values()} == {"train"}


def test_a_key_says_which_model_was_adapted_how_by_which_seed_and_so_do_those_of_what_it_says(plan: Cell) -> None:
    trained = plan.fit(learner=plan.task.strong.with_recipe(adapt="lora"), seed=5)
    made = [
        trained.handle,
        *(plan.ctx.predict(trained, rows) for rows in (plan.task.pool, plan.task.test)),
        *(plan.ctx.embed(trained, plan.task.pool, layer=layer) for layer in (0, 1, "middle", -1)),
    ]
    assert {one.key.slug for one in made} == {"world-micro-lora-s5"}
    assert len({one.key for one in made}) == len(made)


# ---- what is recorded


def test_a_record_names_what_was_fitted_to_what(cell: Cell) -> None:
    handle = cell.fit(predict_on=[cell.task.pool]).handle
    record = handle.record()
    assert record.inputs == {"data": cell.task.labelled.key.full, "labels": cell.task.labels.key.full}
    assert record.params["model"] == cell.task.weak.model.identity
    assert restore(Recipe, record.params["recipe"]).identity() == RECIPE.identity()
    assert record.value["supervision"] == ["gold"]
    assert "stopped_by" not in record.value
    assert cell.task.weak.model.path not in json.dumps(record.params)


def test_the_facts_of_a_fit_count_its_rows_and_steps(cell: Cell) -> None:
    record = cell.fit(predict_on=[cell.task.pool]).handle.record()
    facts = record.value["facts"]
    assert facts["rows"] == RECIPE.epochs * LABELLED
    assert facts["steps"] == RECIPE.epochs * LABELLED // RECIPE.batch
    assert facts["tokens"] > facts["rows"]
    assert 0 <= facts["padding"] < 1
    assert (facts["workers"], facts["zero"], facts["resumed"], facts["halvings"]) == (1, None, [], [])
    assert set(facts["seconds"]) == {"tokenise", "load", "train", "predict", "save"}
    assert 0 <= sum(facts["seconds"].values()) <= record.seconds
    assert record.resources == Resources().as_dict()


def test_the_log_has_the_loss_of_the_steps_in_their_order(cell: Cell) -> None:
    artifact = cell.fit(predict_on=[cell.task.pool]).handle.artifact()
    log = [json.loads(line) for line in (artifact.path / "log.jsonl").read_text().splitlines()]
    steps = [entry["step"] for entry in log]
    assert steps == sorted(set(steps))
    assert steps[-1] == artifact.record.value["facts"]["steps"]
    assert log[0]["loss"] == pytest.approx(np.log(2), abs=0.02), "the head starts at zero, so it knows nothing"


@pytest.mark.parametrize(
    ("adapt", "keep", "kept", "files"),
    [
        ("full", None, "model", {"model.safetensors", "config.json", "tokenizer.json", "head.safetensors", "fit.json"}),
        ("full", False, "predictions", set()),
        ("lora", True, "adapter", {"adapter_model.safetensors", "head.safetensors", "fit.json"}),
        ("lora", False, "predictions", set()),
    ],
)
def test_a_record_says_what_was_kept(adapt: str, keep: bool | None, kept: str, files: set[str], cell: Cell) -> None:
    learner = cell.task.weak.with_recipe(adapt=adapt)
    record = cell.fit(learner=learner, keep_weights=keep, seed=len(files)).handle.record()
    assert record.value["kept"] == kept
    assert files <= set(record.files)
    assert files or set(record.files) == {"log.jsonl"}


# ---- which rows are learned from


def test_rows_without_a_label_are_as_if_they_were_not_there(cell: Cell) -> None:
    data, gold = cell.rows(cell.task.labelled), cell.labels(cell.task.labels)
    known = np.arange(len(data)) % 3 > 0
    abstains = cell.put(LabelSet.of(gold.ids, gold.probs_NK, mask_N=known))
    weightless = cell.put(LabelSet.of(gold.ids, gold.probs_NK, weight_N=known.astype(float)))
    fits = [
        cell.fit(labels=abstains, predict_on=[cell.task.pool]),
        cell.fit(labels=weightless, predict_on=[cell.task.pool]),
        cell.fit(
            rows=cell.put(data.select(gold.ids[known])),
            labels=cell.put(gold.align(gold.ids[known])),
            predict_on=[cell.task.pool],
        ),
    ]
    assert [one.handle.value["facts"]["rows"] for one in fits] == [RECIPE.epochs * known.sum()] * 3
    said = [cell.ctx.labels(cell.ctx.predict(one, cell.task.pool)).probs_NK for one in fits]
    np.testing.assert_array_equal(said[0], said[2])
    np.testing.assert_array_equal(said[1], said[2])
    everything = cell.ctx.labels(cell.ctx.predict(cell.fit(predict_on=[cell.task.pool]), cell.task.pool))
    assert np.abs(said[0] - everything.probs_NK).max() > 1e-3


def test_labels_are_joined_by_id_whatever_their_order_and_whoever_else_has_some(cell: Cell) -> None:
    gold, others = cell.labels(cell.task.labels), cell.labels(cell.gold["pool"])
    order = np.random.default_rng(0).permutation(len(gold) + len(others))
    more = LabelSet.of(
        np.concatenate([gold.ids, others.ids])[order], np.concatenate([gold.probs_NK, others.probs_NK])[order]
    )
    fits = [cell.fit(labels=labels, predict_on=[cell.task.pool]) for labels in (cell.task.labels, cell.put(more))]
    one, other = (cell.ctx.labels(cell.ctx.predict(fit, cell.task.pool)).probs_NK for fit in fits)
    assert fits[0].handle.key != fits[1].handle.key
    np.testing.assert_array_equal(one, other)


def test_two_teachers_who_agree_teach_what_one_does_and_both_are_named(cell: Cell) -> None:
    soft = cell.put(LabelSet.of(gold := cell.labels(cell.task.labels).ids, np.tile([0.3, 0.7], (len(gold), 1))))
    alone = cell.fit(labels=soft, predict_on=[cell.task.pool])
    both = cell.fit(labels=[soft, soft], predict_on=[cell.task.pool])
    assert both.handle.value["supervision"] == [soft.key.full, soft.key.full]
    assert cell.fit(labels=[cell.task.labels, soft]).handle.value["supervision"] == ["gold", soft.key.full]
    one, two = (cell.ctx.labels(cell.ctx.predict(fit, cell.task.pool)).probs_NK for fit in (alone, both))
    np.testing.assert_allclose(one, two, atol=1e-6)
    gold = cell.labels(cell.task.labels)
    against = cell.put(LabelSet.of(gold.ids, gold.probs_NK[:, ::-1]))
    torn = cell.fit(labels=[cell.task.labels, against], predict_on=[cell.task.pool])
    undecided = cell.ctx.labels(cell.ctx.predict(torn, cell.task.pool)).probs_NK
    np.testing.assert_allclose(undecided, 0.5, atol=1e-5, err_msg="teachers who contradict each other teach nothing")


def nobody(cell: Cell) -> LabelSet:
    gold = cell.labels(cell.task.labels)
    return LabelSet.of(gold.ids, gold.probs_NK, mask_N=[False] * len(gold))


REFUSED: dict[str, tuple[Callable[[Cell], LabelSet | Answers], str]] = {
    "labels of which all abstain": (nobody, "none of the 24 rows has a label with a weight above 0"),
    "labels of other rows": (lambda c: c.labels(c.gold["pool"]), "24 of 24 ids are not among the 28 at hand"),
    "labels of more classes": (
        lambda c: LabelSet.hard(c.rows(c.task.labelled).ids, [0] * LABELLED, 3, source="a crowd"),
        "the labels of a crowd have 3 classes where 2 are wanted",
    ),
    "answers": (
        lambda c: Answers.of(c.rows(c.task.labelled).ids, ["yes"] * LABELLED),
        "the labels of a teacher are texts; labels and rows must be of the same task",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_labels_that_do_not_suit_the_rows_are_refused(what: str, cell: Cell) -> None:
    make, message = REFUSED[what]
    trained = cell.fit(labels=cell.put(make(cell)))
    with pytest.raises(DataError, match=message) as caught:
        trained.handle.record()
    assert isinstance(caught.value, AlignmentError) == (what == "labels of other rows")
    assert one_line(caught.value)
    with pytest.raises(DataError, match=message):
        cell.ctx.predict(trained, cell.task.pool).record()


# ---- early stopping, heads, starts


def test_a_fit_that_stops_early_says_by_whose_labels_and_evaluates_each_time(cell: Cell) -> None:
    learner = cell.task.weak.with_recipe(check=Check(every=2))
    by = cell.put(cell.labels(cell.gold["pool"]))
    value = cell.fit(learner=learner, check=(cell.task.pool, by)).handle.value
    assert value["stopped_by"] == [by.key.full]
    assert value["supervision"] == ["gold"]
    assert [one["step"] for one in value["facts"]["evaluations"]] == [2, 4, 6]
    assert value["facts"]["rows"] == RECIPE.epochs * LABELLED, "rows to check by are not among those that teach"
    own = cell.fit(learner=cell.task.weak.with_recipe(check=Check(every=2, share=0.3))).handle.value
    assert "stopped_by" not in own
    assert own["facts"]["rows"] < RECIPE.epochs * LABELLED, "some of its own rows are kept out"


def test_a_head_starts_as_a_probe(cell: Cell) -> None:
    probe = cell.fit(learner=cell.task.weak.as_probe(), predict_on=[cell.task.pool])
    still = cell.task.weak.with_recipe(lr=1e-12, epochs=1)
    student = cell.fit(learner=still, head=probe, predict_on=[cell.task.pool])
    says, said = (cell.ctx.labels(cell.ctx.predict(one, cell.task.pool)).probs_NK for one in (student, probe))
    np.testing.assert_allclose(says, said, atol=1e-5)
    assert np.abs(said - 0.5).max() > 0.05


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_learner_that_starts_from_a_fit_has_all_of_its_weights(adapt: str, cell: Cell) -> None:
    trained = cell.fit(learner=cell.task.weak.with_recipe(adapt=adapt), predict_on=[cell.task.pool])
    start = cell.ctx.start_from(trained)
    assert start.base is not None
    assert start.base.key.step == "weights"
    assert start.base.record().made_by == trained.handle.key.full
    assert "model.safetensors" in start.base.record().files
    made = cell.ctx.features(cell.ctx.embed(start, cell.task.pool)).array_ND
    np.testing.assert_allclose(made, cell.ctx.features(cell.ctx.embed(trained, cell.task.pool)).array_ND, atol=1e-5)
    assert not np.allclose(made, cell.ctx.features(cell.ctx.embed(cell.task.weak, cell.task.pool)).array_ND, atol=1e-3)


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_start_that_is_asked_before_the_fit_is_the_one_that_is_asked_later(adapt: str, tmp_path: Path) -> None:
    """Whichever rider comes first: that of the weights merges adapters into the model, which no other may see."""
    said, starts, kept = [], [], []
    for name in ("before", "after"):
        with opened(tmp_path / name) as cell:
            teacher = cell.fit(predict_on=[cell.task.pool])
            how = {"rows": cell.task.pool, "labels": cell.ctx.predict(teacher, cell.task.pool), "keep_weights": True}
            student = cell.fit(learner=cell.task.strong.with_recipe(adapt=adapt), **how)
            if name == "after":
                student.handle.record()
            start = cell.ctx.start_from(student)
            embedded = cell.ctx.embed(student, cell.task.pool)
            assert start.base is not None
            starts.append(cell.ctx.features(cell.ctx.embed(start, cell.task.pool)).array_ND)
            said.append(cell.ctx.features(embedded).array_ND)
            made = student.handle.record()
            kept.append({name: facts["sha256"] for name, facts in made.files.items() if "model" in name})
            assert made.value["kept"] == ("adapter" if adapt == "lora" else "model")
    np.testing.assert_array_equal(*said)
    np.testing.assert_array_equal(*starts)
    assert kept[0] == kept[1] and kept[0]


WHEN_ASKED = ("before the fit", "after it")


@pytest.mark.parametrize("when", WHEN_ASKED)
def test_adapters_that_are_spread_over_processes_are_no_start(when: str, tmp_path: Path) -> None:
    with opened(tmp_path) as cell:
        learner = replace(cell.task.weak.with_recipe(adapt="lora"), resources=Resources(zero=1))
        if when == "after it":
            alone = replace(learner, resources=Resources())
            cell.fit(learner=alone, keep_weights=True).handle.record()
    with opened(tmp_path) as cell:
        start = cell.ctx.start_from(cell.fit(learner=learner, keep_weights=True))
        assert start.base is not None
        with pytest.raises(ConfigError, match="cannot be merged into the model, so no other fit can start") as caught:
            start.base.record()
        assert one_line(caught.value)


class Gang(InlineExecutor):
    """Calls of several processes are run by as many, under torchrun; the others here."""

    def launch(self, call: Call, started: Started) -> Future[None]:
        if not call.resources.sharded:
            return super().launch(call, started)
        return self._pool.submit(self._by_torchrun, call)

    def _by_torchrun(self, call: Call) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(pickle.dumps(call))
            file.flush()
            command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
            command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
            command += [str(Path(__file__).with_name("gang_call.py")), file.name]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.slow
def test_the_weights_of_a_gangs_fit_are_collected_by_all_of_its_processes(tmp_path: Path) -> None:
    with opened(tmp_path, executor=Gang) as cell:
        learner = replace(cell.task.weak.with_recipe(epochs=1), resources=Resources(workers=2, zero=1))
        fit = cell.fit(learner=learner, predict_on=[cell.task.pool])
        start = cell.ctx.start_from(fit)
        assert start.base is not None
        alone = cell.ctx.start_from(cell.fit(learner=replace(learner, resources=Resources()), seed=0))
        assert alone.base is not None and alone.base.key == start.base.key
        assert {"model.safetensors", "config.json", "fit.json"} <= set(start.base.record().files)
        assert fit.handle.value["facts"]["workers"] == 2
        started = replace(start, resources=Resources())
        one = cell.ctx.features(cell.ctx.embed(started, cell.task.pool)).array_ND
    with opened(tmp_path / "alone") as cell:
        start = cell.ctx.start_from(cell.fit(learner=cell.task.weak.with_recipe(epochs=1)))
        np.testing.assert_allclose(cell.ctx.features(cell.ctx.embed(start, cell.task.pool)).array_ND, one, atol=1e-4)


# ---- heads that do not fit


def other_classes(cell: Cell) -> Trained:
    """A probe that tells three classes apart, on the same model's features."""
    rows = cell.rows(cell.task.pool)
    three = Dataset.of("three", "pool", "text", ("a", "b", "c"), rows.ids, text=rows.inputs["text"])
    labels = cell.put(LabelSet.hard(rows.ids, np.arange(len(rows)) % 3, 3))
    return cell.fit(learner=cell.task.weak.as_probe(), rows=cell.put(three), labels=labels)


def test_a_head_of_other_classes_is_refused(cell: Cell) -> None:
    trained = cell.fit(head=other_classes(cell), seed=21)
    with pytest.raises(ConfigError, match=r"tells 3 classes apart .*, and the fit tells 2 apart") as caught:
        trained.handle.record()
    assert one_line(caught.value)


NO_HEADS: dict[str, tuple[Fit, str]] = {
    "a finetuned model": (lambda c: c.fit(), "head: train/world-nano-full-s0-.* is no probe; give"),
    "another model's probe": (
        lambda c: c.fit(learner=c.task.strong.as_probe()),
        "head: .* is a probe of world/micro, and the fit is of world/nano; give",
    ),
}


@pytest.mark.parametrize("what", NO_HEADS)
def test_what_is_no_probe_of_the_model_is_refused_as_a_head_at_once(what: str, plan: Cell) -> None:
    make, message = NO_HEADS[what]
    head = make(plan)
    before = len(plan.context.submitted())
    with pytest.raises(ConfigError, match=message) as caught:
        plan.fit(head=head)
    assert one_line(caught.value)
    assert len(plan.context.submitted()) == before


def test_a_probe_of_another_width_is_no_head(cell: Cell) -> None:
    """Where another fit's weights are started from, the model's name does not tell."""
    probe = Probe(np.zeros(7), np.ones(7), np.zeros((7, 1)), np.zeros(1))
    path = locate(cell.task.weak.model.path)
    with pytest.raises(ConfigError, match="on 7 features, and the fit tells 2 apart on 16; give a probe") as caught:
        build_classifier(path, RECIPE, 2, head=probe)
    assert one_line(caught.value)


# ---- nothing to learn from, nothing to read


def test_no_labels_teach_nothing(plan: Cell) -> None:
    for adapt in ("full", "lora", "probe"):
        before = len(plan.context.submitted())
        with pytest.raises(DataError, match=r"labels: \[\] names no labels .*; give .* predict") as caught:
            plan.fit(learner=plan.task.weak.with_recipe(adapt=adapt), labels=[])
        assert one_line(caught.value)
        assert len(plan.context.submitted()) == before


ASKED_OF_NONE: dict[str, Callable[[Cell, Handle], Handle]] = {
    "rows to learn from": lambda c, none: c.fit(rows=none).handle,
    "a prediction with the fit": lambda c, none: c.fit(predict_on=[none], seed=31).handle,
    "a late prediction": lambda c, none: c.ctx.predict(c.fit(), none),
    "vectors of a trained model": lambda c, none: c.ctx.embed(c.fit(), none),
    "vectors of the model": lambda c, none: c.ctx.embed(c.task.weak, none),
    "a prediction of a probe": lambda c, none: c.ctx.predict(c.fit(learner=c.task.weak.as_probe()), none),
    "a probe's rows": lambda c, none: c.fit(learner=c.task.weak.as_probe(), rows=none).handle,
}


@pytest.mark.parametrize("what", ASKED_OF_NONE)
def test_no_rows_are_refused_in_a_line(what: str, cell: Cell) -> None:
    none = cell.put(cell.rows(cell.task.pool).select([]))
    with pytest.raises(DataError, match=r"world:topic has no rows in pool, .*; give at least one row") as caught:
        ASKED_OF_NONE[what](cell, none).record()
    assert one_line(caught.value)
    if what == "a prediction with the fit":
        place = Path(cell.context.store.root) / cell.fit(seed=31).handle.key.path
        assert not (place / "work").exists(), "it is refused before the fit"


def test_a_pretrained_model_is_asked_of_no_rows_in_vain(cells: Callable[[str], Cell]) -> None:
    for kind in ("choice", "generation"):
        cell = cells(kind)
        none = cell.put(cell.rows(cell.task.pool).select([]))
        with pytest.raises(DataError, match="has no rows in pool") as caught:
            cell.ctx.predict(cell.task.weak, none).record()
        assert one_line(caught.value)


# ---- what is lost on the way


def test_a_fit_whose_rider_could_not_be_made_goes_on_where_it_was(tmp_path: Path) -> None:
    """Its steps were not in vain: the next run begins at the last checkpoint, and ends as if nothing had been."""
    said = []
    for name in ("smooth", "bumpy"):
        with opened(tmp_path / name) as cell:
            how = {"learner": replace(cell.task.weak, resources=Resources(checkpoint_every_steps=2))}
            if name == "bumpy":
                ids = cell.rows(cell.task.pool).ids
                bad = cell.put(Dataset.of("asked", "pool", "generation", (), ids, prompt=["fisa"] * len(ids)))
                with pytest.raises(DataError, match="trained on rows of kind 'text'") as caught:
                    cell.fit(predict_on=[bad], **how).handle.record()
                assert one_line(caught.value)
        with opened(tmp_path / name) as cell:
            trained = cell.fit(predict_on=[cell.task.pool], **how)
            said.append(cell.ctx.labels(cell.ctx.predict(trained, cell.task.pool)).probs_NK)
            resumed = [one["step"] for one in trained.handle.value["facts"]["resumed"]]
            assert resumed == ([] if name == "smooth" else [4])
            assert not (tmp_path / name / "store" / trained.handle.key.path / "work").exists()
    np.testing.assert_array_equal(*said)


def test_predictions_that_were_damaged_are_made_again_by_their_fit(tmp_path: Path) -> None:
    often = Resources(checkpoint_every_steps=2)
    with opened(tmp_path) as cell:
        learner = replace(cell.task.weak, resources=often)
        handle = cell.ctx.predict(cell.fit(learner=learner, predict_on=[cell.task.pool]), cell.task.pool)
        before, attempt = cell.labels(handle), handle.record().attempt
        (handle.artifact().path / "labels.parquet").write_bytes(b"nonsense")
    with opened(tmp_path) as cell:
        trained = cell.fit(learner=learner, predict_on=[cell.task.pool])
        again = cell.ctx.predict(trained, cell.task.pool)
        np.testing.assert_array_equal(cell.ctx.labels(again).probs_NK, before.probs_NK)
        assert again.record().attempt != attempt
        assert again.record().value == {"refit": True}
        assert cell.context.executed == [again.key]
        assert not (tmp_path / "store" / trained.handle.key.path / "work").exists()


# ---- which fits are computed as one

PLAIN = ("world-nano@0", RECIPE, Resources(), "rows", 1)


@pytest.mark.parametrize(
    ("place", "value", "together"),
    [
        (1, RECIPE.model_copy(update={"lr": 0.5, "epochs": 1, "batch": 2, "seed": 4, "prompt": "Q {text}"}), True),
        (1, RECIPE.model_copy(update={"pooling": "last"}), False),
        (1, RECIPE.model_copy(update={"layer": 0}), False),
        (1, RECIPE.model_copy(update={"adapt": "lora"}), False),
        (1, RECIPE.model_copy(update={"features": 0.5}), False),
        (0, "world-micro@0", False),
        (3, "other rows", False),
        (4, 2, False),
        (2, Resources(cpus=2, fuse=True), True),
    ],
)
def test_fits_of_one_stack_have_all_in_common_that_shapes_depend_on(place: int, value: Any, together: bool) -> None:
    given: list[Any] = list(PLAIN)
    given[place] = value
    one, other = stack_of(*PLAIN), stack_of(*given)  # type: ignore[arg-type]
    assert one is not None and other is not None
    assert (one.group == other.group) == together


@pytest.mark.parametrize(
    ("recipe", "resources"),
    [
        ({"adapt": "probe"}, {}),
        ({"loss": {"type": "logconf"}}, {}),
        ({"dropout": True}, {}),
        ({"adapt": "lora", "lora": {"dropout": 0.1}}, {}),
        ({"check": {}}, {}),
        ({}, {"workers": 2}),
        ({}, {"fuse": False}),
        ({}, {"activation_checkpointing": True}),
    ],
    ids=str,
)
def test_what_must_be_fitted_alone_has_no_stack(recipe: dict[str, Any], resources: dict[str, Any]) -> None:
    assert stack_of("world-nano@0", Recipe.model_validate(recipe), Resources(**resources), "rows", 1) is None
