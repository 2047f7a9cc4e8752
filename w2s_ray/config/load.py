"""From a YAML file to a checked study: `extends:` (one file), `--set` overrides, the grid. Every mistake is one line that names key, value and remedy."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Cell, Models, Placements, Recipes, StudyConfig
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import closest
from w2s_ray.core.resources import Resources

M = TypeVar("M", bound=BaseModel)

# Where unknown keys are looked up for the closest valid one.
_SECTIONS: dict[tuple[str, ...], set[str]] = {
    (): set(StudyConfig.model_fields),
    ("task",): set(TaskSpec.model_fields),
    ("models",): set(Models.model_fields),
    ("train",): set(Recipes.model_fields),
    ("train", "weak"): set(Recipe.model_fields),
    ("train", "strong"): set(Recipe.model_fields),
    ("resources",): set(Placements.model_fields),
    ("resources", "weak"): set(Resources.__dataclass_fields__),
    ("resources", "strong"): set(Resources.__dataclass_fields__),
}


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key that stands twice and reads 1e-3 as a number."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(f"the key {key!r} stands twice (line {key_node.start_mark.line + 1}); keep one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


@dataclass(frozen=True)
class Study:
    """A checked experiment: its config, its grid points as cells, and the folder that its relative paths start from."""

    config: StudyConfig
    cells: tuple[Cell, ...]
    base: Path


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read, override, check and expand."""
    raw = _extended(path)
    for override in overrides:
        name, sep, value = override.partition("=")
        if not sep:
            raise ConfigError(f"--set {override!r} has no '='; write --set key.subkey=value")
        _assign(raw, name, yaml.load(value, _Loader))
    return expand(raw, path.resolve().parent)


def expand(raw: dict[str, Any], base: Path) -> Study:
    """All cells of a raw config, in the order grid point, method, seed."""
    config = _checked(StudyConfig, raw)
    cells = []
    for values in itertools.product(*config.grid.values()):
        point = dict(zip(config.grid, values, strict=True))
        chosen = copy.deepcopy(raw)
        for name, value in point.items():
            _assign(chosen, name, value)
        at_point = _checked(StudyConfig, {k: v for k, v in chosen.items() if k != "grid"}, f" (at the grid point {point})" if point else "")
        cells += [Cell(at_point, method, seed, point) for method in at_point.methods for seed in at_point.seeds]
    return Study(config, tuple(cells), base)


def resolved(config: StudyConfig) -> str:
    """The config with every default, as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _extended(path: Path) -> dict[str, Any]:
    raw = _read(path)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: {parent!r} must be one file name")
    below = _read(path.parent / parent)
    if "extends" in below:
        raise ConfigError(f"{path.parent / parent}: a file that is extended may not extend another one; put both into one")
    return _merged(below, raw)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; name the YAML file in it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: the file must be a mapping of keys (name, task, models, methods, …), not {type(raw).__name__}")
    return raw


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings join key by key; anything else is replaced."""
    out = dict(below)
    for key, value in above.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def _assign(raw: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted key; numbers step into lists. A loss or method that is written as a bare name becomes a mapping when one steps into it."""
    *path, last = name.split(".")
    here: Any = raw
    for depth, part in enumerate(path):
        inner = here.get(part) if isinstance(here, dict) else here[_index(here, part, name)]
        if isinstance(inner, str):
            inner = {"type": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, (dict, list)):
            raise ConfigError(f"{name}: {'.'.join(path[: depth + 1])} is {inner!r}, which has no parts")
        here[part if isinstance(here, dict) else _index(here, part, name)] = inner
        here = inner
    here[last if isinstance(here, dict) else _index(here, last, name)] = value


def _index(items: list[Any], part: str, name: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise ConfigError(f"{name}: {part!r} is not an index of a list of {len(items)} (they start at 0)")
    return int(part)


def _checked(model: type[M], raw: dict[str, Any], where: str = "") -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(e) for e in error.errors(include_url=False)[:3]) + where) from None


def _sentence(error: Any) -> str:
    path = tuple(str(part) for part in error["loc"])
    key = ".".join(path) or "the config"
    if error["type"] == "extra_forbidden":
        known = _SECTIONS.get(path[:-1], set())
        return f"{key} is not a known key{closest(path[-1], known)}" + (f"; there are: {', '.join(sorted(known))}" if known else "")
    if error["type"] == "missing":
        return f"{key} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    value = error.get("input")
    shown = "" if isinstance(value, (dict, list, tuple)) or repr(value) in message else f" is {value!r}"
    return f"{key}{shown}: {message[:1].lower()}{message[1:]}"
