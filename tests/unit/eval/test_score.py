"""The two scoring steps on handmade predictions: either metric, with a floor and without one, kept keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies import config, write_rows

from w2s_ray.config.load import expand
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.eval.score import COLLECT, SCORE
from w2s_ray.ops.verbs import Verbs
from w2s_ray.study.check import check_names, check_rows
from w2s_ray.study.results import FROM_SCORE, config_digest
from w2s_ray.study.setting import Setting

NAMES = {"method": "naive", "task": "topic", "weak": "nano", "strong": "small"}


@pytest.fixture
def context(store_url: str) -> Iterator[Context]:
    with Context(open_store(store_url), InlineExecutor) as made:
        yield made


@pytest.fixture
def inputs(context: Context, tmp_path: Path):
    """What a run hands to the scorer, for a seed: real rows, and arms that know the class a little, some more, and
    much."""
    write_rows(tmp_path)
    study = expand(config("naive"), tmp_path)
    _, gold = Setting(context, tmp_path).task(study.cells[0])
    ctx = Verbs(context, 0)

    def said(gold_labels: LabelSet, strength: float, seed: int) -> LabelSet:
        rng = np.random.default_rng([seed, int(10 * strength)])
        positive = 1 / (1 + np.exp(-(strength * (2 * gold_labels.hard_N - 1) + rng.normal(size=len(gold_labels)))))
        return LabelSet.of(gold_labels.ids, np.stack([1 - positive, positive], axis=1))

    def make(seed: int = 0, **strengths: float):
        test, pool = ctx.labels(gold.test), ctx.labels(gold.pool)
        arms = {arm: ctx.put(said(test, strength, seed)) for arm, strength in strengths.items()}
        return {
            **arms,
            "gold_test": gold.test,
            "gold_pool": gold.pool,
            "labels": ctx.put(said(pool, 0.5, seed)),
            "slices": gold.slices,
        }

    return make


ARMS = {"floor": 0.3, "student": 1.0, "ceiling": 2.5}


def score(context: Context, inputs, metric: str = "accuracy"):
    return context.submit(SCORE, {"gap_se": 0.0, "metric": metric}, inputs)


@pytest.mark.parametrize("metric", ["accuracy", "auroc"])
def test_floor_student_and_ceiling_are_in_the_metric(context: Context, inputs, metric: str) -> None:
    value = score(context, inputs(**ARMS), metric).value
    for arm in ARMS:
        assert value[arm] == value["metrics"][arm][metric]
    assert value["status"] == "ok" and value["pgr"] == (value["student"] - value["floor"]) / (
        value["ceiling"] - value["floor"]
    )
    assert 0 < value["floor"] < value["student"] < value["ceiling"]


def test_the_collected_table_is_in_the_metric(context: Context, inputs) -> None:
    scores = tuple(score(context, inputs(seed, **ARMS), "auroc") for seed in (0, 1))
    cells = [{**NAMES, "seed": seed} for seed in (0, 1)]
    (row,) = context.submit(
        COLLECT, {"cells": cells, "gap_se": 0.0, "pairings": [], "metric": "auroc"}, {"scores": scores}
    ).value["summary"]
    for arm in ARMS:
        assert row[arm]["mean"] == pytest.approx(np.mean([one.value["metrics"][arm]["auroc"] for one in scores]))
    assert row["pgr"]["median"] == pytest.approx(np.median([one.value["pgr"] for one in scores]))


@pytest.mark.parametrize("metric", ["accuracy", "auroc"])
def test_without_a_floor_the_student_stands_beside_the_ceiling(context: Context, inputs, metric: str) -> None:
    given = inputs(**ARMS)
    whole, without = (
        score(context, given, metric),
        score(context, {name: handle for name, handle in given.items() if name != "floor"}, metric),
    )
    value = without.value
    assert set(FROM_SCORE) <= set(value)
    assert (value["status"], value["floor"], value["pgr"]) == ("no_floor", None, None)
    assert value["reason"] == "The weak labels have none of the test rows, so there is no floor."
    assert all(value[name] == whole.value[name] for name in ("student", "ceiling", "num_test", "labels"))
    assert set(value["metrics"]) == {"student", "ceiling"}
    assert {rows: (found["agreement"], found["n"]) for rows, found in value["agreement"].items()} == dict.fromkeys(
        ("all", "weak_right", "weak_wrong"), (None, 0)
    )
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    cells = [{**NAMES, "seed": 0}, {**NAMES, "weak": "file", "seed": 0}]
    collected = context.submit(
        COLLECT, {"cells": cells, "gap_se": 0.0, "pairings": [], "metric": metric}, {"scores": (whole, without)}
    ).value
    with_floor, row = collected["summary"]
    assert (
        row["floor"] is None
        and row["pgr"]["median"] is None
        and row["excluded"] == [{"seed": 0, "reason": value["reason"]}]
    )
    assert row["student"] == with_floor["student"] and row["ceiling"] == with_floor["ceiling"]
    assert [pair["floor"] is None for pair in collected["sweep"][0]["pairs"]] == [False, True]


def test_kinds_of_rows_are_told_in_accuracy_also_without_a_floor(context: Context, inputs, tmp_path: Path) -> None:
    given = {name: handle for name, handle in inputs(**ARMS).items() if name != "floor"}
    for found in score(context, given, "auroc").value["slices"].values():
        assert found["floor"] is None and (found["n"] == 0 or 0 <= found["student"] <= 1)


def test_texts_have_no_roc_auc(tmp_path: Path, context: Context) -> None:
    with open(tmp_path / "answers.jsonl", "w") as file:
        file.writelines(
            json.dumps({"question": f"what is {n} and {n}?", "answer": str(2 * n)}) + "\n" for n in range(300)
        )
    raw = config(
        "naive", task={"data": "file:answers.jsonl", "format": "question", "labelled": 40, "pool": 40, "test": 40}
    )
    check_names(expand(raw, tmp_path))
    with pytest.raises(
        ConfigError,
        match=(
            r"^metric is 'auroc', but the answers of file:answers.jsonl are texts, .*; set metric: accuracy \(exact"
            r" match\)$"
        ),
    ):
        check_names(expand(raw | {"metric": "auroc"}, tmp_path))


def test_test_rows_without_a_class_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    prepared = {"facts": {"class_shares": {"test": {"a": 0.5, "b": 0.5, "c": 0}}, "sizes": {"test": 40}}}
    plain, asked = (expand(config("naive", metric=metric), tmp_path).cells[0] for metric in ("accuracy", "auroc"))
    check_rows(plain, prepared)
    with pytest.raises(
        DataError,
        match=(
            "metric: auroc needs test rows of every class; of the 40 none has 'c'; set metric: accuracy, or give more"
            " test rows"
        ),
    ):
        check_rows(asked, prepared)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"method": {"type": "naive", "loss": "logconf"}}, "train.strong"),
        ({"method": {"type": "bootstrap", "ladder": ["world/mini"], "loss": "logconf"}}, "train.strong"),
        ({"train": {"weak": {"loss": "logconf"}}}, "train.weak"),
    ],
)
def test_a_loss_for_two_classes_is_refused_on_five_before_anything_is_trained(
    tmp_path: Path, more: dict[str, Any], place: str
) -> None:
    raw = config(**{"method": "naive", **more})
    shares = {
        number: {
            "facts": {"class_shares": {"test": dict.fromkeys("abcde"[:number], 1 / number)}, "sizes": {"test": 40}}
        }
        for number in (2, 5)
    }
    cell = expand(raw, tmp_path).cells[0]
    check_rows(cell, shares[2])
    with pytest.raises(
        ConfigError,
        match=(
            rf"^methods \w+, {place}: loss.threshold: half is defined for 2 classes, this task has 5; set"
            r" loss.threshold: argmax$"
        ),
    ):
        check_rows(cell, shares[5])


def test_a_study_in_accuracy_keeps_its_digest(tmp_path: Path) -> None:
    plain, asked, other = (
        config_digest(expand(config("naive", **more), tmp_path))
        for more in ({}, {"metric": "accuracy"}, {"metric": "auroc"})
    )
    assert plain == asked != other
