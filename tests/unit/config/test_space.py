"""The space of a search: what is refused, what is drawn, in which order."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import optuna
import pytest
from studies import config

from w2s_ray.config.load import anchored, checked, expand, load_study, searched
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.core.errors import ConfigError

CONDITIONAL = {
    "methods.0.loss": {"choice": ["xent", "logconf", {"type": "logconf", "warmup": 0.5}]},
    "methods.0.loss.aux": {
        "uniform": [0, 1],
        "when": {"methods.0.loss": ["logconf", {"type": "logconf", "warmup": 0.5}]},
    },
    "train.strong.epochs": {"int": [1, 3]},
    "train.strong.lr": {"log": [1e-4, 1e-2]},
}


def spec(space: dict[str, Any], **more: Any) -> SearchSpec:
    return checked(SearchSpec, {"space": space, **more})


@pytest.mark.parametrize(
    ("space", "more", "fault"),
    [
        ({}, {}, "space"),
        ({"train.strong.lr": {}}, {}, "give one of uniform"),
        ({"train.strong.lr": {"log": [1, 2], "int": [1, 2]}}, {}, "names log and int"),
        ({"train.strong.lr": {"log": [0, 1]}}, {}, "must be above 0"),
        ({"train.strong.lr": {"uniform": [2, 1]}}, {}, "swap them"),
        ({"train.strong.lr": {"choice": [{"a": 1}, {"a": 1}]}}, {}, "names a value twice"),
        ({"train.strong.lr": {"unifrom": [0, 1]}}, {}, "did you mean 'uniform'"),
        ({"train.strong.lr": {"uniform": [0, 1], "when": {"a": 1}}}, {}, "does not stand above it"),
        ({"a": {"choice": [1, 2]}, "b": {"int": [1, 2], "when": {"a": 3}}}, {}, "which it never is"),
        ({"a": {"uniform": [0, 1]}}, {"sampler": "grid"}, "a grid has no end"),
        (
            {"a": {"int": [1, 2]}, "b": {"int": [1, 2]}},
            {"sampler": "grid", "first": [{"a": 1}]},
            "no whole point of the grid",
        ),
        ({"a": {"int": [1, 2]}}, {"first": [{"b": 1}]}, "first.0: 'b' is not in the space"),
        ({"a": {"int": [1, 2]}}, {"first": [{"a": 3}]}, "first.0.a is 3"),
        ({"a": {"int": [1, 2]}}, {"first": [{"a": 1.5}]}, "first.0.a is 1.5"),
        ({"a": {"int": [1, 2]}}, {"pruner": "asha", "seeds": [0]}, "two seeds or more"),
        (
            {"a": {"int": [1, 2]}},
            {"pruner": "asha", "seeds": [0, 1], "objective": ["accuracy", "seconds"]},
            "one objective",
        ),
        ({"a": {"int": [1, 2]}}, {"seeds": [1, 1]}, "names a seed twice"),
        ({"a": {"int": [1, 2]}}, {"objective": "acuracy"}, "did you mean 'accuracy'"),
        (
            {"a": {"int": [1, 2]}},
            {"objective": {"metric": "accuracy", "of": "weak"}, "select_on": "weak_labels"},
            "always agrees",
        ),
    ],
)
def test_a_bad_space_is_refused(space: dict[str, Any], more: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        spec(space, **more)


@pytest.mark.parametrize(
    ("space", "more", "fault"),
    [
        (
            {"train.strong.lr": {"uniform": [0, 1]}},
            {},
            r"tune.space.train.strong.lr: at 0.0 the study is not valid: train.strong.lr is 0.0",
        ),
        ({"train.strong.lrr": {"uniform": [0, 1]}}, {}, "train.strong.lrr is not a known key"),
        ({"lr": {"uniform": [0, 1]}}, {}, "'lr' cannot vary"),
        ({"seeds": {"choice": [[1], [2]]}}, {}, "'seeds' cannot vary"),
        (
            {"methods.0.loss": {"choice": ["xent", "logcnof"]}},
            {},
            "at 'logcnof' the study is not valid: .*did you mean 'logconf'",
        ),
        ({"task.heldout": {"uniform": [0, 0.2]}}, {}, "no rows to judge by"),
        ({"train.strong.lr": {"uniform": [0.1, 1]}}, {"select_on": "weak_labels"}, "set task.pool_heldout"),
    ],
)
def test_each_edge_of_the_space_is_a_valid_study(
    tmp_path: Path, space: dict[str, Any], more: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        searched(expand(config("naive", tune={"space": space, **more}), tmp_path))


def test_a_search_is_of_one_method(tmp_path: Path) -> None:
    raw = config("naive", tune={"space": {"train.weak.lr": {"log": [1e-3, 1e-2]}}})
    raw["methods"] = ["naive", {"type": "naive", "name": "other"}]
    with pytest.raises(ConfigError, match="a search is of one"):
        searched(expand(raw, tmp_path))
    raw["tune"]["objective"] = {"metric": "accuracy", "of": "weak"}
    searched(expand(raw, tmp_path))
    with pytest.raises(ConfigError, match="tune is missing"):
        searched(expand({key: value for key, value in raw.items() if key != "tune"}, tmp_path))


def test_what_is_drawn_is_in_the_space_and_conditions_hold(tmp_path: Path) -> None:
    raw = config({"type": "naive"}, tune={"space": CONDITIONAL})
    drawn_from = searched(expand(raw, tmp_path))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [drawn_from.draw(study.ask()) for _ in range(60)]
    assert {str(point["methods.0.loss"]) for point in points} == {
        "xent",
        "logconf",
        "{'type': 'logconf', 'warmup': 0.5}",
    }
    for point in points:
        assert ("methods.0.loss.aux" in point) == (point["methods.0.loss"] != "xent")
        assert all(drawn_from.space[key].holds(value) for key, value in point.items())
    assert {point["train.strong.epochs"] for point in points} == {1, 2, 3}
    for point, trial in zip(points, study.trials, strict=True):
        assert drawn_from.named(trial.params) == point
        assert drawn_from.labelled(point) == trial.params


def test_a_grid_holds_every_point_once() -> None:
    space = {"a": {"choice": ["x", "y"]}, "b": {"int": [1, 3], "when": {"a": "y"}}, "c": {"choice": [True, None]}}
    found = list(spec(space, sampler="grid").grid())
    assert found == [{"a": "x", "c": c} for c in (True, None)] + [
        {"a": "y", "b": b, "c": c} for b, c in itertools.product((1, 2, 3), (True, None))
    ]


NAIVE = "naive"


def test_places_are_told_in_full(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    mix = {
        "type": "model_mix",
        "models": ["model", "world/nano"],
        "recipes": [{"prompt": f"model {'long ' * 100}{{text}}"}],
    }
    raw = {
        "name": "model", "hypothesis": f"~90 % {'of what follows ' * 100}", "task": {"data": "file:rows.jsonl",
        "test_data": "world:topic"},
        "models": {"weak": "model", "strong": "untrained:model"}, "methods": ["naive", mix],
        "grid": {"models.strong": ["model", "world/mini"], "task.seed": [1]},
    }  # fmt: skip
    told = raw | {
        "task": {"data": f"file:{tmp_path}/rows.jsonl", "test_data": "world:topic"},
        "models": {"weak": f"{tmp_path}/model", "strong": f"untrained:{tmp_path}/model"},
        "methods": ["naive", mix | {"models": [f"{tmp_path}/model", "world/nano"]}],
        "grid": {"models.strong": [f"{tmp_path}/model", "world/mini"], "task.seed": [1]},
    }
    assert anchored(raw, tmp_path) == told


def test_places_in_a_grid_are_told_in_full_wherever_it_sets_them(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    full = f"{tmp_path}/m"
    grid: dict[str, Any] = {
        "methods": [[NAIVE], [{"type": "model_mix", "models": ["m", "world/nano"], "name": "m"}]],
        "methods.0.ladder": [["m"], ["world/nano", "m"]],
        "methods.0.models.1": ["m"],
        "methods.0.name": ["m"],
        "train": [{"by_model": {"m": {"lr": 1}}}],
        "train.by_model": [{"m": {"lr": 1}}, {"world/nano": {"prompt": "m {text}"}}],
        "train.strong": [{"prompt": "m {text}"}],
        "train.by_model.m.lr": [1, 2],
    }
    raw = {"name": "m", "methods": [NAIVE], "models": {"weak": "m", "strong": "m"}, "grid": grid}
    told = anchored(raw, tmp_path)["grid"]
    changed = {
        "methods": [[NAIVE], [{"type": "model_mix", "models": [full, "world/nano"], "name": "m"}]],
        "methods.0.ladder": [[full], ["world/nano", full]],
        "methods.0.models.1": [full],
        "train": [{"by_model": {full: {"lr": 1}}}],
        "train.by_model": [{full: {"lr": 1}}, {"world/nano": {"prompt": "m {text}"}}],
    }
    assert {key: values for key, values in told.items() if key in grid} == (
        {key: values for key, values in grid.items() if key in told} | changed
    )
    assert told[f"train.by_model.{full}.lr"] == [1, 2] or "." in full
    assert raw["grid"] is grid and grid["methods.0.ladder"] == [["m"], ["world/nano", "m"]], "the raw config stays"


def test_an_anchor_in_a_yaml_does_not_tie_keys_together(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "name: x\ntask: {data: 'world:topic'}\nmodels: {weak: world/nano, strong: world/micro}\nmethods:"
        " [naive]\ntrain: {weak: &fit {lr: 1e-3}, strong: *fit}\ngrid: {train.strong.lr: [1e-2]}\n"
    )
    (cell,) = load_study(tmp_path / "study.yaml", ["train.weak.epochs=3"]).cells
    assert (cell.config.train.weak.lr, cell.config.train.strong.lr) == (1e-3, 1e-2)
    assert (cell.config.train.weak.epochs, cell.config.train.strong.epochs) == (3, 2)
