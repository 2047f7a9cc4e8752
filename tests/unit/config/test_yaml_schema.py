"""The schema of a study's YAML: it is the code's, every shipped study has it and is valid, mistakes are not, and
nothing that the loader accepts is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from w2s_ray.config.load import as_yaml, expand, load_study, parse_value, read_yaml, resolved
from w2s_ray.config.schema import StudyConfig
from w2s_ray.config.yaml_schema import study_schema
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import available, find, summary

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs/schema/study.json"
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.yaml"))
SOUND: dict[str, Any] = {
    "name": "sound",
    "task": {"data": "world:topic", "heldout": 0.2, "pool_heldout": 0.2},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive"],
    "train": {"strong": {"loss": {"type": "logconf"}, "check": {"every": 2}}, "by_model": {"world/micro": {"lr": 0.1}}},
    "grid": {"task.seed": [0, 1]},
    "resources": {"strong": {"workers": [1, 2]}},
    "tune": {"space": {"train.strong.lr": {"log": [1e-5, 1e-3]}}, "trials": 3},
}


@cache
def validator() -> Draft202012Validator:
    schema = study_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def is_valid(raw: Any) -> bool:
    return bool(validator().is_valid(raw))


def load(raw: dict[str, Any]) -> None:
    """As `w2s plan` does before it looks at rows and models."""
    for name in {cell.config.task.format for cell in expand(raw, Path()).cells} - {None}:
        find("w2s_ray.formats", str(name))


def test_the_published_schema_is_the_codes() -> None:
    """It is made again by `w2s schema > docs/schema/study.json`, where no plug-ins of others are installed."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == study_schema(), (
        test_the_published_schema_is_the_codes.__doc__
    )


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_study_is_valid_and_names_the_schema(path: Path) -> None:
    assert [error.message for error in validator().iter_errors(read_yaml(path))] == []
    marker, _, place = path.read_text(encoding="utf-8").partition("\n")[0].partition("$schema=")
    assert marker == "# yaml-language-server: "
    assert (path.parent / place).resolve() == PUBLISHED
    whole = yaml.safe_load(resolved(load_study(path).config))
    assert [error.message for error in validator().iter_errors(whole)] == [], "with every default too"


@pytest.mark.parametrize(
    "mistake",
    [
        "nmae: x",
        "task.dta: x",
        "task.data: 3",
        "task.format: txt",
        "task.shares: [0.5, 0.5]",
        "task.overlap: keep",
        "models.weak: [world/nano]",
        "methods: []",
        "methods: naive",
        "methods: [navie]",
        "methods: [{type: navie}]",
        "methods: [{name: nameless}]",
        "methods: [{type: naive, lss: xent}]",
        "methods: [{type: naive, loss: {type: logconf, aux: 2}}]",
        "methods: [{type: bagging, combine: majorty}]",
        "train.weak.lr: fast",
        "train.weak.lr: 0",
        "train.weak.epochs: 1.5",
        "train.weak.epochs: []",
        "train.weak.adapt: lorra",
        "train.weak.dropout: maybe",
        "train.strong.loss: crossentropy",
        "train.strong.loss: {aux: 0.5}",
        "train.by_model: {world/nano: {lrate: 0.1}}",
        "seeds: 0",
        "seeds: [zero]",
        "grid: {seeds: [0, 1]}",
        "grid: {task.seed: 3}",
        "resources.strong.zero: 4",
        "resources.strong.gpu: 1",
        "tune.space: {}",
        "tune.space: {lr: {log: [1, 2]}}",
        "tune.space: {train.strong.lr: {lgo: [1, 2]}}",
        "tune.objective: speed",
        "convention: google",
        "extends: [a.yaml]",
    ],
)
def test_a_mistake_is_marked(mistake: str) -> None:
    assert is_valid(SOUND)
    key, _, value = mistake.partition(": ")
    raw = changed(SOUND, tuple(key.split(".")), parse_value(value))
    assert not is_valid(raw)
    if key != "extends":
        with pytest.raises(ConfigError):
            load(raw)


@pytest.mark.parametrize("key", ["name", "task", "models", "methods", "task.data", "models.weak", "tune.space"])
def test_what_is_needed_may_be_in_the_file_that_is_extended(key: str) -> None:
    raw = changed(SOUND, tuple(key.split(".")), None, drop=True)
    assert not is_valid(raw)
    assert is_valid(raw | {"extends": "sound.yaml"})
    assert not is_valid(raw | {"extends": None})


def test_a_loss_may_be_named_in_the_file_that_is_extended(tmp_path: Path) -> None:
    (tmp_path / "sound.yaml").write_text(as_yaml(SOUND), encoding="utf-8")
    raw = {"extends": "sound.yaml", "train": {"strong": {"loss": {"aux": 0.75}}}}
    (tmp_path / "more.yaml").write_text(as_yaml(raw), encoding="utf-8")
    assert load_study(tmp_path / "more.yaml").config.train.strong.loss.aux == 0.75  # type: ignore[attr-defined]
    assert is_valid(raw)


VALUES = (
    None, True, False, 0, 1, 2, -1, 0.5, 1.0, 1e-4, "", "1", "0.5", "1e-3", " 2 ", "yes", "off", "TRUE", "x", "auto",
    "naive", "logconf", "accuracy", [], [1], ["1", "2"], [0.4, "0.4", 0.2], [1, 2], ["naive"],
    ["accuracy", {"metric": "ece"}], {}, {"type": "naive"}, {"type": "logconf", "aux": "0.5"}, {"every": "2"},
    {"a": "b"}, {"a": 1},
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_whatever_the_loader_accepts_is_valid(value: Any) -> None:
    """At each place of a study with all its defaults, and of every plug-in. The model that the loader checks with takes
    no less than the loader, except the names of formats, which are looked up later."""
    accepted = 0
    for section, raw in small_studies():
        for path in paths(raw[section], (section,)):
            there = changed(raw, path, value)
            try:
                StudyConfig.model_validate(there)
            except (ConfigError, ValidationError):
                continue
            accepted += path != ("task", "format")
            assert path == ("task", "format") or is_valid(there), (path, next(validator().iter_errors(there)).message)
    assert accepted, "else this value proves nothing"


@cache
def small_studies() -> list[tuple[str, dict[str, Any]]]:
    """Each section with all its defaults, then each method, loss, combiner and cleaner; and which section that is."""
    bare = {key: SOUND[key] for key in ("name", "task", "models", "methods")}
    whole = yaml.safe_load(resolved(expand({k: v for k, v in SOUND.items() if k != "grid"}, Path()).config))
    of_strong = {name: {"strong": whole[name]["strong"]} for name in ("train", "resources")}
    found = [(name, bare | {name: of_strong.get(name, whole[name])}) for name in whole if name != "tuned"]
    needs: dict[str, Any] = {
        "model_mix": {"models": ["world/nano", "world/micro"]},
        "bootstrap": {"ladder": ["world/nano"]},
        "fixed": {"weights": [0.5, 0.5]},
    }
    methods = [{"type": name, **needs.get(name, {})} for name in available("w2s_ray.methods")]
    methods += [{"type": "naive", "loss": {"type": name}} for name in available("w2s_ray.losses")]
    methods += [
        {"type": "bagging", "combine": {"type": name, **needs.get(name, {})}} for name in available("w2s_ray.combiners")
    ]
    methods += [{"type": "clean_labels", "by": {"type": name}} for name in available("w2s_ray.cleaners")]
    configs = [expand({**bare, "methods": [method]}, Path()).config for method in methods]
    return found + [("methods", bare | {"methods": yaml.safe_load(resolved(one))["methods"]}) for one in configs]


def paths(raw: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for name, value in inside:
        yield (*path, name)
        yield from paths(value, (*path, name))


def changed(raw: dict[str, Any], path: tuple[Any, ...], value: Any, *, drop: bool = False) -> dict[str, Any]:
    whole = copy.deepcopy(raw)
    here: Any = whole
    for name in path[:-1]:
        here = here.setdefault(name, {}) if isinstance(here, dict) else here[name]
    here[path[-1]] = value
    if drop:
        del here[path[-1]]
    return whole


def test_plugins_and_fields_are_described() -> None:
    defs = study_schema()["$defs"]
    for noun, group in (("method", "w2s_ray.methods"), ("loss", "w2s_ray.losses"), ("format", "w2s_ray.formats")):
        named = {branch["const"]: branch["description"] for branch in defs[noun]["oneOf"] if "const" in branch}
        assert named == {name: summary(plugin) for name, plugin in available(group).items()}
    assert "gold labels for the weak teacher" in defs["TaskSpec"]["properties"]["labelled"]["description"]
