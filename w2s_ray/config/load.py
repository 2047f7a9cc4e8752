"""From a YAML file to a checked study: `extends:` (one file), `--set` overrides, the grid. Every mistake is one line
that names key, value and remedy."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from w2s_ray.config.convention import preset_of, with_its_loss
from w2s_ray.config.schema import MOST_CELLS, Cell, StudyConfig
from w2s_ray.config.search_spec import Point, SearchSpec
from w2s_ray.config.track import FOLLOWED, UNSHOWN
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import closest
from w2s_ray.core.secrets import variable_of

M = TypeVar("M", bound=BaseModel)

# What pydantic's kinds of error mean to somebody who writes YAML; braces are filled from the error's context.
_BRANCH = re.compile(r"int|float|str|bool|(tuple|literal)\[.*\]")  # of a union
_MUST: dict[str, str] = {
    "string_type": "must be text (put it in quotes if it looks like a number, a date, yes or no)",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list: [a, b]",
    "dict_type": "must be a mapping: {{key: value}}",
    "model_type": "must be a mapping: {{key: value}}",
    "dataclass_type": "must be a mapping: {{key: value}}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} entries or fewer",
}
_LISTS = (list, tuple, set)
HELD = {"heldout": "heldout", "weak_labels": "pool_heldout"}  # select_on -> the share of rows that it needs
SHOWN = 60  # characters of a value in a message
MOST_VALUES = 200_000  # of a YAML, its aliases written out: a few lines of nested ones mean more than memory holds
MOST_COUNTED = 10**12  # cells; of more, the number is no help
MOST_DEEP = 50  # lists and mappings in each other


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key that stands twice and reads 1e-3 as a number."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(
                f"the key in line {key_node.start_mark.line + 1} is a list or a mapping; a key must be a word (a text"
                " that starts with a brace or bracket needs quotes)"
            )
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConfigError(f"the key {key!r} stands twice (line {key_node.start_mark.line + 1}); keep one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _loaded(text: str) -> Any:
    """The value of a YAML text, if it is of a size that a person may have written. Its values are counted before
    aliases are expanded."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, 0) > MOST_VALUES:
            raise ConfigError(
                f"it holds more than {MOST_VALUES:,} values with its aliases written out; a study needs far fewer: name"
                " them without nested aliases"
            )
        value = loader.construct_document(node)
        _refuse_halves(value)
        return value
    except RecursionError:
        raise ConfigError(_TOO_DEEP) from None
    except (ConfigError, yaml.YAMLError):
        raise
    except (ValueError, OverflowError) as error:  # an integer of thousands of digits, a thirteenth month
        fault = f"it holds a value that cannot be read: {_one_line(error)}"
        raise ConfigError(f"{fault}; put it in quotes if it is text") from None
    finally:
        loader.dispose()


_TOO_DEEP = f"it is nested more than {MOST_DEEP} lists and mappings deep; a study needs far fewer"


_HALF = re.compile("[\ud800-\udfff]")  # of a pair of surrogates: no file can hold it, nor can a record


def _refuse_halves(value: Any, key: str = "") -> None:
    """Refuse texts and keys, at any depth, with half a character."""
    if isinstance(value, str) and (half := _HALF.search(value)):
        raise ConfigError(
            f"{key or 'it'} is {_told(key, value)}, with half a character ({half[0]!r}, a lone surrogate); write the"
            " whole character, or leave it out"
        )
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_halves(name, f"a key{f' of {key}' if key else ''}")
            _refuse_halves(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, _LISTS):
        for n, inner in enumerate(value):
            _refuse_halves(inner, f"{key}.{n}".lstrip("."))


def _size(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """How many values a node holds with its aliases written out. `known` has the finished counts, and -1 for nodes
    whose count is in progress."""
    if depth > MOST_DEEP:
        raise ConfigError(_TOO_DEEP)
    if id(node) not in known:
        known[id(node)] = -1
        parts = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
            if isinstance(node, yaml.SequenceNode)
            else []
        )
        known[id(node)] = 1 + sum(_size(part, known, depth + 1) for part in parts)
    if known[id(node)] < 0:
        raise ConfigError(f"the alias in line {node.start_mark.line + 1} stands in what it names; write the value out")
    return known[id(node)]


@dataclass(frozen=True)
class Study:
    """A checked experiment: its config, its grid points as cells, and the folder that its relative paths start from."""

    config: StudyConfig
    cells: tuple[Cell, ...]
    base: Path
    raw: dict[str, Any]  # as it was read, before defaults, without what only says who is told
    gpus: int | None = None  # of the machine that it runs on, for `gpus: auto`; None: those of a cluster decide
    file: Path | None = field(default=None, compare=False)  # that it was read from, beside which its lock lies


def load_study(path: Path, overrides: Sequence[str] = (), resources: Mapping[str, Any] | None = None) -> Study:
    """Read, override, check and expand. `resources` of a place stand above the study's own."""
    return replace(made(raw_of(path), path.resolve().parent, overrides, resources), file=path)


def made(
    raw: dict[str, Any], base: Path, overrides: Sequence[str] = (), resources: Mapping[str, Any] | None = None
) -> Study:
    """The same of a study that is read already, or was written in code."""
    raw = _apart(raw)
    _refuse_halves(raw)
    if resources:
        raw = _merged(raw, {"resources": resources})
    for override in overrides:
        name, sep, value = override.partition("=")
        if not sep:
            raise ConfigError(f"--set {_shown(override)} has no '='; write --set key.subkey=value")
        said = _shown(name if _is_unshown(name) else override)
        _refuse_shown(name, value)
        try:
            _refuse_halves(name, "the key")
            _assign(raw, name, parse_value(value, name))
        except ConfigError as error:
            raise ConfigError(f"--set {said}: {_one_line(error)}") from None
    return expand(raw, base)


def changed(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with other values at dotted keys, as `--set` sets them."""
    copy: dict[str, Any] = _apart(dict(raw))
    for name, value in changes.items():
        _assign(copy, name, value)
    return copy


def _refuse_shown(name: str, value: str) -> None:
    """A command line is seen by everybody on the machine, and is repeated in messages."""
    if name == "notify" and value not in ("", "null") and variable_of(value) is None:
        raise ConfigError(
            "--set notify: others see an address on a command line; write --set 'notify=$NAME', of a variable that"
            " holds it"
        )


def parse_value(text: str, key: str = "") -> Any:
    """A value as YAML spells it; `key` is where it is to stand."""
    try:
        return _loaded(text)
    except yaml.YAMLError as error:
        shown = "the text" if _is_unshown(key) else _shown(text)
        raise ConfigError(f"{shown} is not a value: {_one_line(error)}") from None


def expand(raw: dict[str, Any], base: Path) -> Study:
    """All cells of a raw config, in the order grid point, method, seed."""
    _check_size(raw)
    config = checked(StudyConfig, _conventional(raw))
    raw = {key: value for key, value in raw.items() if key not in FOLLOWED}
    cells = []
    for values in itertools.product(*config.grid.values()):
        point = dict(zip(config.grid, values, strict=True))
        chosen = at_point(raw, point)
        where = f" (at the grid point {', '.join(f'{name}={value}' for name, value in point.items())})" if point else ""
        there = checked(StudyConfig, _conventional({k: v for k, v in chosen.items() if k != "grid"}), where)
        cells += [Cell(there, method, seed, point) for method in there.methods for seed in there.seeds]
    _check_baseline(config.baseline, list(dict.fromkeys(str(cell.method.label) for cell in cells)))
    return Study(config, tuple(cells), base, raw)


def followed(config: StudyConfig) -> dict[str, Any]:
    """Its keys that only say who is told, which a study's `raw` leaves out."""
    return {name: value for name in FOLLOWED if (value := getattr(config, name))}


def _check_size(raw: dict[str, Any]) -> None:
    """Counted before anything is built: a short file may mean more cells than memory holds."""
    grid = raw["grid"] if isinstance(raw.get("grid"), dict) else {}
    points = math.prod(_length(values) for key, values in grid.items() if key != "methods")
    lists = grid.get("methods")  # each value of it is a study's whole list
    methods = sum(map(_length, lists)) if isinstance(lists, _LISTS) else _length(raw.get("methods"))
    count = points * methods * _length(raw.get("seeds"))
    if count > MOST_CELLS:
        cells = f"{count:,}" if count < MOST_COUNTED else f"more than {MOST_COUNTED:,}"
        raise ConfigError(
            f"grid, methods and seeds make {cells} cells; a study may have {MOST_CELLS:,}: shorten `grid`, `methods` or"
            " `seeds`, or make several studies, which share what is equal"
        )


def _length(value: Any) -> int:
    return len(value) if isinstance(value, _LISTS) else 1


def _conventional(raw: dict[str, Any]) -> dict[str, Any]:
    """The raw config over the defaults of its convention."""
    whole: dict[str, Any] = _apart(_merged(preset_of(raw), raw))
    return with_its_loss(whole)


def _check_baseline(baseline: str | None, names: list[str]) -> None:
    """Checked after the grid is expanded, since the grid may be what adds the method."""
    if baseline is not None and baseline not in names:
        raise ConfigError(
            f"baseline is {baseline!r}{closest(baseline, names)}; it must be the name of a method of the study:"
            f" {', '.join(names)}"
        )


def at_point(raw: dict[str, Any], point: Point) -> dict[str, Any]:
    """The raw config with other values at dotted keys. A mapping for a whole section, such as a pair of `models`, joins
    it key by key."""
    chosen: dict[str, Any] = _apart(raw)
    for name, value in point.items():
        section = chosen.get(name)
        joined = _merged(section, value) if isinstance(section, dict) and isinstance(value, dict) else value
        _assign(chosen, name, _apart(joined))
    return chosen


def _apart(raw: Any) -> Any:
    """A deep copy without shared parts, which a YAML's anchors and aliases make: setting one key must not set
    another."""
    if isinstance(raw, dict):
        return {key: _apart(value) for key, value in raw.items()}
    return [_apart(value) for value in raw] if isinstance(raw, (list, tuple)) else raw


# Where a study names files and folders; `*` is any place in a list.
_PLACES = {
    ("task", "data"), ("task", "test_data"), ("task", "pool_data"), ("models", "weak"), ("models", "strong"),
    ("methods", "*", "models", "*"), ("methods", "*", "ladder", "*"),
}  # fmt: skip
_BY_MODEL = ("train", "by_model")  # whose keys are models


def anchored(raw: dict[str, Any], base: Path) -> dict[str, Any]:
    """The raw config with absolute paths of its files and folders, so that its YAML may be moved."""
    full: dict[str, Any] = _placed({key: value for key, value in raw.items() if key != "grid"}, (), base)
    if "grid" in raw:
        full["grid"] = {
            _key_in_full(key, base): [_placed(value, _parts(key), base) for value in values]
            for key, values in raw["grid"].items()
        }
    return {key: full[key] for key in raw}


def _placed(value: Any, at: tuple[str, ...], base: Path) -> Any:
    """A copy of what stands at these keys, with its places in full."""
    if isinstance(value, dict):
        inside = {key: _placed(inner, (*at, str(key)), base) for key, inner in value.items()}
        return {_in_full(key, base): inner for key, inner in inside.items()} if at == _BY_MODEL else inside
    if isinstance(value, _LISTS):
        return [_placed(inner, (*at, "*"), base) for inner in value]
    return _in_full(value, base) if at in _PLACES else value


def _parts(key: str) -> tuple[str, ...]:
    return tuple("*" if part.isdigit() else part for part in key.split("."))


def _key_in_full(key: str, base: Path) -> str:
    """A dotted key with the model of `train.by_model` in full, unless its path has dots itself."""
    parts = key.split(".")
    if _parts(key)[:2] != _BY_MODEL or len(parts) == 2:
        return key
    place = str(_in_full(parts[2], base))
    return key if "." in place else ".".join([*parts[:2], place, *parts[3:]])


def _in_full(name: Any, base: Path) -> Any:
    """A name with an absolute path, for `file:rows.jsonl` and model folders; other names mean the same everywhere."""
    kind, colon, place = str(name).rpartition(":")
    if kind in ("file", "labels:file"):
        path, mark, column = place.partition("#")
        return f"{kind}:{(base / Path(path).expanduser()).resolve()}{mark}{column}"
    if (
        kind in ("", "path", "untrained", "untrained:path")
        and (base / Path(place).expanduser() / "config.json").is_file()
    ):
        return f"{kind}{colon}{(base / Path(place).expanduser()).resolve()}"
    return name


def searched(study: Study) -> SearchSpec:
    """The study's search, after a check that the study is valid at each end of each range."""
    spec = study.config.tune
    if spec is None:
        raise ConfigError(
            "tune is missing; the study needs it to be searched: name a space there, such as tune: {space:"
            " {train.strong.lr: {log: [1e-5, 1e-3]}}}"
        )
    if len(study.config.methods) > 1 and not spec.of_weak_alone:
        # plug-ins are MethodParams
        names = [str(method.label) for method in study.config.methods]  # type: ignore[attr-defined]
        raise ConfigError(
            f"methods: {names} are several, but a search is of one; keep one, as with --set 'methods=[{names[0]}]'"
        )
    oracles = [str(cell.method.label) for cell in study.cells if cell.method.oracle]
    if oracles and spec.select_on != "gold" and not spec.of_weak_alone:
        raise ConfigError(
            f"tune.select_on: {spec.select_on}, but {oracles[0]} is an oracle, so that gold of the test rows decides"
            " all the same; set select_on: gold, or search another method"
        )
    untuned = {key: value for key, value in study.raw.items() if key != "tune"}
    for point in spec.corners():
        *_, (key, value) = point.items()
        try:
            there = expand(at_point(untuned, point), study.base)
        except ConfigError as error:
            raise ConfigError(f"tune.space.{key}: at {value!r} the study is not valid: {error}") from None
        if spec.select_on != "gold" and any(
            not getattr(cell.config.task, HELD[spec.select_on]) for cell in there.cells
        ):
            raise ConfigError(
                f"tune.space.{key}: at {value!r} there are no rows to judge by (task.{HELD[spec.select_on]} is 0); keep"
                " it above 0"
            )
    return spec


def corners(study: Study) -> list[Study]:
    """The study at each end of each range of its search."""
    spec = study.config.tune
    untuned = {key: value for key, value in study.raw.items() if key != "tune"}
    return [] if spec is None else [expand(at_point(untuned, point), study.base) for point in spec.corners()]


def resolved(config: StudyConfig) -> str:
    """The config with every default, as YAML."""
    return as_yaml(config.model_dump(mode="json"))


def as_yaml(raw: dict[str, Any]) -> str:
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)


def raw_of(path: Path) -> dict[str, Any]:
    """The mapping of a study's file, over that of the file that it extends."""
    raw = read_yaml(path)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends is {parent!r}; it must be one file name")
    try:
        below = read_yaml(path.parent / parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: extends: {error}") from None
    if "extends" in below:
        raise ConfigError(
            f"{path.parent / parent}: a file that is extended may not extend another one; put both into one"
        )
    return _merged(below, raw)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a file holds, or one line that says why there is none."""
    try:
        raw = _loaded(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; name the YAML file in it") from None
    except OSError as error:
        raise ConfigError(
            f"{_shown(str(path))} cannot be read: {error.strerror}; name a YAML file that you may read"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {_one_line(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(raw, dict):
        found = "is empty" if raw is None else f"holds a {type(raw).__name__}"
        raise ConfigError(f"{path}: the file {found}; it must be a mapping of keys: name, task, models, methods, …")
    return raw


def _one_line(error: Exception) -> str:
    """An error of the YAML parser on one line, without its excerpt of the text."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', '')}"


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings join key by key; anything else is replaced."""
    out = dict(below)
    for key, value in above.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def _assign(raw: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted key; numbers step into lists. A loss or method that is written as a bare name becomes a mapping when
    one steps into it."""
    *path, last = name.split(".")
    if not all((*path, last)):
        raise ConfigError(f"{name!r} is not a key; write names with dots between them, such as train.strong.lr")
    here: Any = raw
    for depth, part in enumerate(path):
        inner = here.get(part) if isinstance(here, dict) else here[_index(here, part, name)]
        if isinstance(inner, str) and (part == "loss" or isinstance(here, list)):
            inner = {"type": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, (dict, list)):
            raise ConfigError(f"{name}: {'.'.join(path[: depth + 1])} is {_told(name, inner)}, which has no parts")
        here[part if isinstance(here, dict) else _index(here, part, name)] = inner
        here = inner
    here[last if isinstance(here, dict) else _index(here, last, name)] = value


def _index(items: list[Any], part: str, name: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise ConfigError(f"{name}: {part!r} is not an index of a list of {len(items)} (they start at 0)")
    return int(part)


def checked(model: type[M], raw: dict[str, Any], where: str = "") -> M:
    """A model of these values, or one line that says what is wrong with them."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A list of which an entry is wrong is also reported as too short.
        told = [
            e
            for e in errors
            if not any(
                len(other["loc"]) > len(e["loc"]) and other["loc"][: len(e["loc"])] == e["loc"] for other in errors
            )
        ]
        raise ConfigError("; ".join(_either([_sentence(e) for e in _unbranched(told)][:3])) + where) from None


def _unbranched(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Errors without the type names that pydantic adds to the location of a union's errors (`workers.int`): people know
    the key alone."""
    return [{**e, "loc": tuple(part for part in e["loc"] if not _BRANCH.fullmatch(str(part)))} for e in errors]


def _either(sentences: list[str]) -> list[str]:
    """Sentences on one key and value become one: `it must be a or must be b`."""
    by_subject: dict[str, list[str]] = {}
    for sentence in sentences:
        subject, joint, must = sentence.partition("; it ")
        by_subject.setdefault(subject if joint else sentence, []).extend([must] if joint else [])
    return [f"{subject}; it {' or '.join(musts)}" if musts else subject for subject, musts in by_subject.items()]


def _sentence(error: ErrorDetails) -> str:
    """One pydantic error in words: key, value, what is allowed."""
    key, value, context = ".".join(map(str, error["loc"])), error["input"], error.get("ctx", {})
    if error["type"] == "unknown_key":
        name, known = str(context["key"]), sorted(context["known"])
        hint = f"{closest(name, known)}; there are: {', '.join(known)}"
        if _is_unshown(key) and not name.isidentifier():  # `url:https://…` without a space is a key
            return f"{key} has a key that is not known (is there a space after each colon?){hint}"
        return f"{key}.{name} is not a known key{hint}".lstrip(".")
    if error["type"] == "missing" and isinstance(error["loc"][-1], int):
        return f"{key.rpartition('.')[0]} is {_told(key, value)}, which has too few entries"
    if error["type"] == "missing":
        return f"{key} is missing; the study needs it"
    if error["type"] not in _MUST:
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{key}: {message}" if key else message
    must = _MUST[error["type"]].format(**context)
    hint = closest(str(value), re.findall(r"'(.*?)'", must)) if error["type"] == "literal_error" else ""
    return f"{key} is {_told(key, value)}{hint}; it {must}"


def _is_unshown(key: str) -> bool:
    return key.partition(".")[0] in UNSHOWN


def _told(key: str, value: Any) -> str:
    """What stands at a dotted key; where that may be an address or a password, its kind alone."""
    if value is None or not _is_unshown(key):
        return _shown(value)
    kinds = (
        (str, "a text"),
        (dict, "a mapping"),
        (_LISTS, "a list"),
        (bool, "true or false"),
        ((int, float), "a number"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), f"of the type {type(value).__name__}")


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
