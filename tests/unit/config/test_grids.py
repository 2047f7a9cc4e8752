"""From a raw config to cells: their order and number, what a point sets and what it leaves alone, what stands above
what."""

from __future__ import annotations

import copy
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.config import load
from w2s_ray.config.load import Study, at_point, expand, load_study, parse_value, resolved
from w2s_ray.config.schema import Cell
from w2s_ray.core.errors import ConfigError

NANO, MICRO, MINI = "world/nano", "world/micro", "world/mini"
RAW: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "world:topic"},
    "models": {"weak": NANO, "strong": MICRO},
    "methods": ["naive"],
}
VALUES: dict[str, list[Any]] = {
    "train.strong.lr": [1e-3, 2e-3, 5e-3],
    "train.strong.epochs": [1, 2, 3],
    "train.weak.lr": [1e-3, 3e-3],
    "task.seed": [0, 1],
    "methods.0.name": ["a", "b"],
}
GRIDS = st.dictionaries(st.sampled_from(sorted(VALUES)), st.none(), max_size=3).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.lists(st.sampled_from(VALUES[key]), min_size=1, unique=True) for key in keys}
    )
)


def study(**more: Any) -> Study:
    return expand({**RAW, **more}, Path())


def value_at(cell: Cell, key: str) -> Any:
    here: Any = cell.config.model_dump()
    for part in key.split("."):
        here = here[int(part)] if isinstance(here, (list, tuple)) else here[part]
    return here


@given(GRIDS, st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), st.booleans())
@settings(max_examples=40, deadline=None)
def test_cells_are_all_combinations_in_the_order_point_method_seed(
    grid: dict[str, list[Any]], seeds: list[int], two: bool
) -> None:
    methods: list[Any] = [{"type": "naive", "name": "first"}, {"type": "naive", "name": "second"}][: 1 + two]
    made = study(grid=grid, seeds=seeds, methods=methods)
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    expected = [(point, n, seed) for point in points for n in range(len(methods)) for seed in seeds]
    assert [(cell.point, cell.config.methods.index(cell.method), cell.seed) for cell in made.cells] == expected
    for cell in made.cells:
        assert all(value_at(cell, key) == value for key, value in cell.point.items())
        assert cell.config.grid == {}, "a cell is one point of it"
    names = [(cell.method_label, cell.task_label, cell.seed) for cell in made.cells]
    assert len(set(names)) == len(names), "no two rows of a table have the same name"


def test_a_study_may_have_so_many_cells_and_not_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MOST_CELLS", 20)
    grid = {"task.seed": [0, 1]}
    assert len(study(seeds=list(range(10)), grid=grid).cells) == 20
    with pytest.raises(ConfigError, match="make 22 cells; a study may have 20: shorten `grid`, `methods` or `seeds`"):
        study(seeds=list(range(11)), grid=grid)


def named(count: int) -> list[dict[str, str]]:
    return [{"type": "naive", "name": f"m{n}"} for n in range(count)]


def test_each_point_of_a_grid_over_methods_counts_as_many_as_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MOST_CELLS", 20)
    grid: dict[str, list[Any]] = {"methods": [named(7), named(3)], "task.seed": [0, 1]}
    assert len(study(grid=grid, methods=named(9)).cells) == 20
    with pytest.raises(ConfigError, match="make 22 cells; a study may have 20"):
        study(grid=grid | {"methods": [named(7), named(4)]})


@pytest.mark.parametrize(
    ("more", "cells"),
    [
        ({"methods": ["naive"] * 190_000}, "190,000"),
        ({"grid": {"methods": [named(1000)] * 100}}, "100,000"),
        ({"grid": {"train.strong.lr": list(range(1, 20_001))}, "seeds": [0, 1]}, "40,000"),
        ({"grid": {f"train.a{n}": [1, 2, 3] for n in range(20_000)}}, "more than 1,000,000,000,000"),
    ],
)
def test_a_study_of_too_many_cells_is_refused_before_any_is_made(more: dict[str, Any], cells: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=f"make {cells} cells; a study may have 20,000: shorten ") as caught:
        study(**more)
    assert time.perf_counter() - started < 1 and len(str(caught.value)) < 300


def test_a_point_leaves_the_raw_config_as_it_was() -> None:
    raw = copy.deepcopy(RAW | {"train": {"strong": {"loss": "xent"}}})
    before = copy.deepcopy(raw)
    point = {"train.strong.loss.aux": 0.25, "models": {"weak": MINI}, "methods.0.loss": {"type": "logconf"}}
    chosen = at_point(raw, point)
    assert raw == before
    chosen["methods"][0]["loss"]["type"] = "other"
    assert point["methods.0.loss"] == {"type": "logconf"}, "nor is the point tied to what it made"


@pytest.mark.parametrize(
    ("raw", "point", "made"),
    [
        ({}, {"train.strong.lr": 1}, {"train": {"strong": {"lr": 1}}}),
        ({"train": None}, {"train.strong.lr": 1}, {"train": {"strong": {"lr": 1}}}),
        ({"methods": ["naive"]}, {"methods.0.name": "x"}, {"methods": [{"type": "naive", "name": "x"}]}),
        (
            {"train": {"strong": {"loss": "logconf"}}},
            {"train.strong.loss.aux": 1},
            {"train": {"strong": {"loss": {"type": "logconf", "aux": 1}}}},
        ),
        ({"models": {"weak": "a", "strong": "b"}}, {"models": {"weak": "c"}}, {"models": {"weak": "c", "strong": "b"}}),
        ({"task": {"columns": {"text": "a"}}}, {"task": {"columns": {"id": "b"}}},
         {"task": {"columns": {"text": "a", "id": "b"}}}),
        ({"a": {"loss": {"type": "x", "y": 1}}}, {"a.loss": {"type": "z"}}, {"a": {"loss": {"type": "z"}}}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({}, {"a.b": 1, "a.c": 2, "a.b.": 3}, "'a.b.' is not a key"),
        ({"seeds": [0]}, {"seeds.-1": 3}, "'-1' is not an index of a list of 1"),
        ({"name": "x"}, {"name.y": 3}, "name is 'x', which has no parts"),
        ({"train": {"strong": {"schedule": "linear"}}}, {"train.strong.schedule.x": 1}, "'linear', which has no parts"),
    ],
)  # fmt: skip
def test_a_dotted_key_steps_into_mappings_lists_and_bare_names(
    raw: dict[str, Any], point: dict[str, Any], made: dict[str, Any] | str
) -> None:
    if isinstance(made, str):
        with pytest.raises(ConfigError, match=made):
            at_point(raw, point)
    else:
        assert at_point(raw, point) == made


# --- what stands above what ---

LAYERS = ["default", "convention", "extends", "study", "set", "grid", "by_model"]


@pytest.mark.parametrize("top", range(len(LAYERS)))
def test_of_all_that_say_a_field_the_nearest_stands(tmp_path: Path, top: int) -> None:
    """A default, the convention, the file that is extended, the study, `--set`, the grid, `by_model`."""
    used = LAYERS[: top + 1]
    epochs = {"extends": 11, "study": 12, "set": 13, "grid": 14, "by_model": 15, "default": 2, "convention": 3}
    below, above = copy.deepcopy(RAW), {"name": "above", "extends": "below.yaml", "train": {"weak": {"lr": 0.5}}}
    if "convention" in used:
        above["convention"] = "eleuther"
    if "extends" in used:
        below["train"] = {"strong": {"epochs": 11}}
    if "study" in used:
        above["train"]["strong"] = {"epochs": 12}
    if "grid" in used:
        above["grid"] = {"train.strong.epochs": [14]}
    if "by_model" in used:
        above["train"]["by_model"] = {MICRO: {"epochs": 15}}
    for name, raw in (("below", below), ("above", above)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(raw))
    made = load_study(tmp_path / "above.yaml", ["train.strong.epochs=13"] if "set" in used else [])
    (cell,) = made.cells
    assert cell.config.recipe("strong").epochs == epochs[LAYERS[top]]
    assert cell.config.recipe("weak").lr == 0.5 and made.config.name == "above"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1E5", 1e5), ("-.5e3", -500.0), ("+1.e2", 100.0), ("1e", "1e"), ("e3", "e3"), ("1e-3x", "1e-3x"),
     ("12", 12), ("1.5", 1.5), ("true", True), ("~", None), ("", None), ("'1e-3'", "1e-3"), ("[1e-3, 2]", [1e-3, 2]),
     ("{lr: 1e-3}", {"lr": 1e-3}), ("world/nano", "world/nano"), ("world:topic", "world:topic"), ("é", "é")],
)  # fmt: skip
def test_a_value_is_read_as_people_mean_it(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value and type(found) is type(value)


# --- written out again ---

RECIPES = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.floats(1e-6, 1, allow_subnormal=False),
        "epochs": st.integers(1, 9),
        "loss": st.sampled_from(["logconf", {"type": "logconf", "aux": 0.25}, "entropy"]),
        "check": st.sampled_from([None, {"every": 5}, {"metric": "auroc", "share": 0.2}]),
        "betas": st.tuples(st.floats(0, 0.9), st.floats(0, 0.99)).map(list),
        "layer": st.sampled_from([-1, 0, "middle"]),
        "clip": st.sampled_from([None, 0.5]),
        "prompt": st.sampled_from(["{text}", "é: {text}\nso?", "'{text}' # no comment"]),
    },
)


@given(RECIPES, RECIPES, st.sampled_from([None, "openai", "eleuther"]), st.text("abc: #'\"\n-é", max_size=20))
@settings(max_examples=25, deadline=None)
def test_a_resolved_config_is_the_same_study(
    weak: dict[str, Any], by_model: dict[str, Any], convention: str | None, hypothesis: str
) -> None:
    train = {"weak": weak, "by_model": {MICRO: by_model}}
    made = study(train=train, convention=convention, hypothesis=hypothesis, seeds=[3, 1]).config
    text = resolved(made)
    again = expand(yaml.safe_load(text), Path()).config
    assert again == made and resolved(again) == text
