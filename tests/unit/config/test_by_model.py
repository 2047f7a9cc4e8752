"""Ladders of models: recipes that go with a model, and grids over pairs of models and over whole tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from studies import config

from w2s_ray.config.load import Study, anchored, expand, resolved
from w2s_ray.config.recipe import Lora, Recipe
from w2s_ray.core.errors import ConfigError, ModelError
from w2s_ray.study.check import check_names
from w2s_ray.study.plan import make_plan
from w2s_ray.study.results import config_digest
from w2s_ray.study.warnings import warnings_of

NANO, MICRO, MINI = "world/nano", "world/micro", "world/mini"
PAIRS = [{"weak": NANO, "strong": NANO}, {"weak": NANO, "strong": MICRO}, {"weak": MICRO, "strong": MICRO}]


def study(**more: Any) -> Study:
    return expand(
        {
            **config("naive"),
            "task": {"data": "world:topic", "labelled": 100},
            "models": {"weak": NANO, "strong": MICRO},
            **more,
        },
        Path(),
    )


def test_a_models_fields_stand_over_both_roles() -> None:
    train = {
        "weak": {"lr": 1e-3, "epochs": 3},
        "strong": {"lr": 2e-3},
        "by_model": {NANO: {"lr": 5e-5}, MICRO: {"lora": {"rank": 4}, "adapt": "lora"}},
    }
    made = study(train=train, grid={"models": [*PAIRS, {"weak": MICRO, "strong": MINI}]})
    weak, strong = ([cell.config.recipe(role) for cell in made.cells] for role in ("weak", "strong"))
    assert [recipe.lr for recipe in weak] == [5e-5, 5e-5, 1e-3, 1e-3]
    assert [recipe.lr for recipe in strong] == [5e-5, 2e-3, 2e-3, 2e-3]
    assert {recipe.epochs for recipe in weak} == {3} and {recipe.epochs for recipe in strong} == {Recipe().epochs}, (
        "what is not said is the role's"
    )
    assert strong[1].lora == Lora(rank=4) and strong[1].adapt == "lora"
    assert strong[3] == made.config.train.strong


def test_other_models_of_a_method_have_theirs(tmp_path: Path) -> None:
    mix = {"type": "model_mix", "models": [NANO, MINI]}
    made = study(
        methods=[mix],
        task={"data": "world:topic", "labelled": 20, "pool": 20, "test": 20},
        train={"by_model": {NANO: {"lr": 5e-5}, MINI: {"lr": 7e-5}}},
    )
    make_plan(made, str(tmp_path / "store"), tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    rates = {
        (entry["params"]["model"].split("@")[0], entry["params"]["recipe"]["lr"])
        for key, entry in plan.items()
        if key.startswith("train/")
    }
    assert {("world-nano", 5e-5), ("world-mini", 7e-5)} <= rates


def test_teacher_and_ceiling_of_a_model_are_one_fit(tmp_path: Path) -> None:
    """With the ceiling on the teacher's rows and one recipe a model, three pairs of two models are two gold fits."""
    rows = {"data": "world:topic", "labelled": 20, "pool": 20, "test": 20}
    made = study(
        task=rows,
        convention="openai",
        train={"by_model": {NANO: {"lr": 5e-5}, MICRO: {"lr": 1e-5}}},
        grid={"models": PAIRS},
    )
    assert made.config.ceiling_on == "labelled"
    plan = make_plan(made, str(tmp_path / "store"), tmp_path)
    assert plan.to_run["train"] == 2 + len(PAIRS)


def test_a_resolved_config_with_models_reads_back_as_the_same() -> None:
    made = study(
        train={"by_model": {MICRO: {"lr": 5e-5, "loss": "logconf", "check": {"every": 5}}}}, convention="eleuther"
    )
    told = yaml.safe_load(resolved(made.config))
    assert set(told["train"]["by_model"][MICRO]) == {"lr", "loss", "check"}
    again = expand(told, Path())
    assert [again.config.recipe(role) for role in ("weak", "strong")] == [
        made.config.recipe(role) for role in ("weak", "strong")
    ]
    assert config_digest(again) == config_digest(made)
    assert "by_model" not in yaml.safe_load(resolved(study().config))["train"], "a study without it keeps its digest"


def test_a_models_fields_are_checked_as_all_others() -> None:
    with pytest.raises(ConfigError, match=r"train\.by_model\.world/nano\.lr is -1; it must be above 0"):
        study(train={"by_model": {NANO: {"lr": -1}}})
    with pytest.raises(
        ConfigError, match=r"train\.by_model\.world/nano\.epoch is not a known key \(did you mean 'epochs'\?\)"
    ):
        study(train={"by_model": {NANO: {"epoch": 1}}})
    with pytest.raises(ConfigError, match=r"loss 'logconf' cannot be used with train\.strong\.adapt: probe"):
        study(train={"strong": {"loss": "logconf"}, "by_model": {MICRO: {"adapt": "probe"}}})
    with pytest.raises(
        ModelError, match=r"train\.by_model: 'world/nanno' is not in the built-in ladder \(did you mean 'nano'\?\)"
    ):
        check_names(study(train={"by_model": {"world/nanno": {"lr": 1e-3}}}))


def test_a_model_that_nobody_trains_is_warned_of() -> None:
    said = {"train": {"by_model": {MINI: {"lr": 1e-3}}}, "seeds": [0, 1, 2]}
    assert (
        next(iter(warnings_of(study(**said))))
        == "train.by_model: no cell trains 'world/mini' (did you mean 'world/micro'?), so its fields change nothing"
    )
    assert list(warnings_of(study(**said, grid={"models.strong": [MICRO, MINI]}))) == []


def test_pairs_of_models_are_rows_of_the_same_method() -> None:
    made = study(grid={"models": [*PAIRS, {"strong": MINI}]})
    assert [(cell.config.models.weak, cell.config.models.strong) for cell in made.cells] == [
        (NANO, NANO),
        (NANO, MICRO),
        (MICRO, MICRO),
        (NANO, MINI),
    ]
    assert {cell.method_label for cell in made.cells} == {"naive"}
    assert {cell.task_label for cell in made.cells} == {"world:topic"}


def test_a_grid_of_tasks_keeps_what_they_share_and_tells_them_apart() -> None:
    tasks = [{"data": "world:topic"}, {"data": "world:topic", "seed": 1}, {"data": "world:entail", "labelled": 50}]
    made = study(grid={"task": tasks, "train.strong.lr": [1e-3]})
    assert [cell.config.task.labelled for cell in made.cells] == [100, 100, 50]
    assert [cell.task_label for cell in made.cells] == [
        "world:topic",
        "world:topic (seed=1)",
        "world:entail (labelled=50)",
    ]
    assert {cell.method_label for cell in made.cells} == {"naive (train.strong.lr=0.001)"}


def test_a_mapping_deeper_down_replaces_what_was_there() -> None:
    made = study(
        methods=[{"type": "naive", "loss": {"type": "logconf", "aux": 0.75}}],
        grid={"methods.0.loss": [{"type": "logconf", "warmup": 0.2}]},
    )
    assert (made.cells[0].method.loss.aux, made.cells[0].method.loss.warmup) == (0.5, 0.2)


def test_places_in_such_grids_are_told_in_full(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    raw: dict[str, Any] = {
        "name": "x", "task": {"data": "world:topic"}, "models": {"weak": "model", "strong": NANO}, "methods": ["naive"],
        "train": {"by_model": {"model": {"lr": 1e-3}}},
        "grid": {"task": [{"data": "file:rows.jsonl", "labelled": 5}], "models": [{"weak": NANO, "strong": "model"}]},
    }  # fmt: skip
    told = anchored(raw, tmp_path)
    assert told["train"] == {"by_model": {f"{tmp_path}/model": {"lr": 1e-3}}}
    assert told["grid"] == {
        "task": [{"data": f"file:{tmp_path}/rows.jsonl", "labelled": 5}],
        "models": [{"weak": NANO, "strong": f"{tmp_path}/model"}],
    }
