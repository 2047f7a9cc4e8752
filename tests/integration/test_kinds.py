"""Whole tiny studies on rows of each kind: what suits it runs, is scored and runs nothing again; what does not is
refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import FIT, ROWS, config, run

from w2s_ray.config.load import expand
from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import ConfigError
from w2s_ray.engine.store import open_store
from w2s_ray.study.check import check_names

LM = FIT | {"answer_tokens": 2}
TASKS: dict[str, dict[str, Any]] = {
    "preference": {"data": "world:pref", **ROWS},
    "choice": {"data": "world:qa", "format": "choice", **ROWS},
    "generation": {"data": "world:qa", "format": "question", **ROWS},
}
ANY = [
    {"type": "bootstrap", "ladder": ["world/nano"]},
    {"type": "strong_to_strong", "iterations": 1},
    {"type": "early_stop", "by": "weak_labels"},
    "generative_finetune_first",
]
CLASSES = [{"type": "bagging", "members": 2}, {"type": "boosting", "members": 2}, "gold_filter"]
VECTORS = [
    "probe",
    {"type": "clean_labels", "by": {"type": "knn", "k": 5}},
    {"type": "probe_then_finetune", "hands_on": "head"},
]


def study(kind: str, method: Any, **more: Any) -> dict[str, Any]:
    return config(method, **{"task": TASKS[kind], "train": {"weak": LM, "strong": LM}, **more})


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *((kind, m) for kind in TASKS for m in ANY),
        *((kind, m) for kind in ("preference", "choice") for m in CLASSES),
        *(("preference", m) for m in VECTORS),
    ],
    ids=str,
)
def test_what_suits_a_kind_runs_on_it(kind: str, method: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    first = run(study(kind, method), tmp_path, store)
    (score,) = first.scores.values()
    assert 0 <= score["student"] <= 1
    assert score["num_test"] == ROWS["test"]
    assert run(study(kind, method), tmp_path, store).executed == []


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_is_read_through_adapters(kind: str, tmp_path: Path) -> None:
    ran = run(
        study(kind, "naive", train={role: LM | {"adapt": "lora"} for role in ("weak", "strong")}),
        tmp_path,
        str(tmp_path / "store"),
    )
    assert any("lora" in key for key in ran.executed)


def test_gold_answers_are_exact_matches_of_themselves(tmp_path: Path) -> None:
    """A teacher that is trained long on many rows names topics; what it says is text, and exact match is counted in
    text."""
    raw = study(
        "generation",
        "naive",
        task=TASKS["generation"] | {"labelled": 400},
        models={"weak": "world/small", "strong": "world/small"},
    )
    (score,) = run(raw, tmp_path, str(tmp_path / "store")).scores.values()
    assert score["floor"] > 0.2
    assert score["metrics"]["floor"]["auroc"] is None
    assert "texts" in score["metrics"]["floor"]["reasons"]["auroc"]


def test_a_perfect_filter_keeps_the_answers_that_are_right(tmp_path: Path) -> None:
    raw = study(
        "generation",
        "gold_filter",
        task=TASKS["generation"] | {"labelled": 400},
        models={"weak": "world/small", "strong": "world/micro"},
    )
    ran = run(raw, tmp_path, str(tmp_path / "store"))
    store = open_store(str(tmp_path / "store"))
    (filtered,) = [Answers.load(store.open(key).path) for key in store.finished("labels")]
    (gold,) = [
        gold
        for key in store.finished("gold")
        if set((gold := Answers.load(store.open(key).path)).ids) == set(filtered.ids)
    ]
    right = filtered.hard_N == gold.align(filtered.ids).hard_N
    assert 0 < right.sum() < len(right)
    assert ((filtered.weight_N > 0) == right).all()
    (score,) = ran.scores.values()
    assert 0 <= score["student"] <= 1


@pytest.mark.parametrize(
    ("kind", "method", "train", "message"),
    [
        ("generation", {"type": "bagging"}, {}, "answers that are generated are texts"),
        ("generation", "probe", {}, "answers that are generated are texts"),
        ("choice", "probe", {}, "candidates are read apart"),
        ("generation", {"type": "naive", "loss": "logconf"}, {}, "compares class probabilities"),
        ("generation", "naive", {"weak": {"loss": "entropy"}}, "train.weak: loss 'entropy'"),
        ("generation", "naive", {"strong": {"adapt": "probe"}}, "by its own head"),
        ("choice", "naive", {"weak": {"features": 0.5}}, "train.weak.features is 0.5"),
        ("choice", "naive", {"strong": {"layer": 1}}, "train.strong.layer is 1"),
        ("choice", "random_subspace", {}, "answered by the language model's own"),
        ("generation", "naive", {"strong": {"check": {"metric": "auroc"}}}, "accuracy alone"),
        (
            "generation",
            {"type": "early_stop", "check": {"metric": "log_loss"}},
            {},
            "methods early_stop: check.metric is log_loss",
        ),
        (
            "generation",
            {"type": "bootstrap", "ladder": ["world/mini"]},
            {"by_model": {"world/mini": {"adapt": "probe"}}},
            "train.by_model world/mini.adapt",
        ),
        ("preference", "early_stop", {"strong": {"adapt": "probe"}}, "nothing to stop early"),
    ],
)
def test_what_does_not_suit_a_kind_is_refused_before_anything_runs(
    kind: str, method: Any, train: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_names(expand(study(kind, method, train=train), tmp_path))


def test_a_probe_has_no_other_loss_and_nothing_to_stop(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="solved for cross-entropy"):
        expand(study("preference", {"type": "probe", "loss": "logconf"}), tmp_path)


def test_each_stage_and_its_labels_are_scored(tmp_path: Path) -> None:
    from w2s_ray.engine.context import Context
    from w2s_ray.engine.executor import InlineExecutor
    from w2s_ray.study.run import run_cells

    planned = expand(study("preference", {"type": "bootstrap", "ladder": ["world/nano", "world/micro"]}), tmp_path)
    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as context:
        (cell,) = run_cells(planned, context)
        assert cell.score is not None, cell.traceback
        (diagnostic,) = cell.facts["diagnostics"]
        stages = diagnostic["rows"]
        assert [stage["name"] for stage in stages] == ["world/nano", "world/micro", "world/micro"]
        assert stages[-1]["student"] == cell.score.value["student"]
        assert stages[-1]["labels"] == cell.score.value["labels"]["accuracy"]


@pytest.mark.parametrize("kind", TASKS)
def test_a_trial_of_a_search_judges_every_kind(kind: str, tmp_path: Path) -> None:
    from w2s_ray.config.search_spec import SearchSpec
    from w2s_ray.engine.executor import InlineExecutor
    from w2s_ray.study.trial import Trials, run_trial

    spec = SearchSpec.model_validate({"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}})
    told: list[Any] = []
    trials = Trials(study(kind, "naive"), str(tmp_path), spec, (0,), str(tmp_path / "store"))
    run_trial(
        trials, {"train.strong.lr": 1e-3}, lambda step, values, facts: told.append((step, values)), InlineExecutor
    )
    ((step, (accuracy,)),) = told
    assert step == 1
    assert 0 <= accuracy <= 1


def test_a_study_may_mix_classes_and_answers(tmp_path: Path) -> None:
    raw = config("naive", train={"weak": LM, "strong": LM}, grid={"task": [TASKS["choice"], TASKS["generation"]]})
    from w2s_ray.engine.context import Context
    from w2s_ray.engine.executor import InlineExecutor
    from w2s_ray.study.run import collect, run_cells

    planned = expand(raw, tmp_path)
    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as context:
        collected = collect(planned, context, run_cells(planned, context))
        assert collected is not None
        assert len(collected.value["summary"]) == 2


def test_held_out_rows_that_a_method_looks_at_must_be_there(tmp_path: Path) -> None:
    raw = study("preference", {"type": "early_stop", "by": "heldout"}, task=TASKS["preference"] | {"heldout": 0})
    with pytest.raises(ConfigError, match=r"task.heldout is 0; set it to a share above 0"):
        check_names(expand(raw, tmp_path))


def test_a_convention_that_stops_early_lets_probes_be(tmp_path: Path) -> None:
    raw = study(
        "preference", "probe", convention="eleuther", metric="accuracy", task=TASKS["preference"] | {"balance": False}
    )
    for role in ("weak", "strong"):
        raw["train"][role] = raw["train"][role] | {"check": {"every": 3, "share": 0.2}}
    raw["methods"] = ["probe", {"type": "probe_then_finetune", "hands_on": "head"}]
    first = run(raw, tmp_path, str(tmp_path / "store"))
    assert len(first.scores) == 2


def test_a_search_through_an_oracle_is_one(tmp_path: Path) -> None:
    from w2s_ray.config.load import searched

    tune = {"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}}
    with pytest.raises(ConfigError, match="early_stop is an oracle"):
        searched(expand(study("preference", "early_stop", tune=tune), tmp_path))
    searched(expand(study("preference", "early_stop", tune=tune | {"select_on": "gold"}), tmp_path))
