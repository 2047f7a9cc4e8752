"""Where rows come from, by name: `world:TASK` is generated, `file:PATH` is read, `hub:ORG/NAME@COMMIT` is fetched.

A source is a few splits of raw rows (dicts) and the identity of their content, which does not hold the place that they were read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.plugins import closest
from w2s_ray.data import files, hub, world
from w2s_ray.data.world.task import VERSION

RawRow = Mapping[str, object]

SCHEMES = {
    "world": ("world:TASK[?KNOB=VALUE&…]", f"rows made here, none to download; TASK is one of {', '.join(world.TASKS)}"),
    "file": ("file:PATH", f"a local file of type {', '.join(files.READERS)}; PATH starts at the folder of the study"),
    "hub": ("hub:ORG/NAME[/CONFIG]@COMMIT[#SPLIT]", "a dataset of the Hugging Face hub at one commit, from the cache when offline"),
}


@dataclass(frozen=True)
class Rows:
    """The raw rows of one split, which can be read more than once."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[], Iterable[RawRow]]


@dataclass(frozen=True)
class Source:
    """An opened source. `columns` is what it knows of its own columns beyond the format's: slices of generated rows."""

    name: str
    identity: str
    splits: Mapping[str, Rows]
    columns: Mapping[str, str] = field(default_factory=dict)


class Scheme(Protocol):
    """A scheme of a third party: a module with these two functions, named by an entry point of the group `w2s_ray.sources`."""

    def identity(self, rest: str, base: Path) -> str:
        """What the rows are, whatever the place: it decides what is reused."""

    def splits(self, rest: str, base: Path) -> Mapping[str, Rows]:
        """The raw rows of each split."""


@cache
def contributed() -> dict[str, Scheme]:
    """The schemes of installed packages; the built-in ones cannot be replaced."""
    return {entry.name: entry.load() for entry in entry_points(group="w2s_ray.sources") if entry.name not in SCHEMES}


def open_source(name: str, base: Path, *, key: str = "task.data", num_rows: int = 10_000, seed: int = 0) -> Source:
    """Open a source by name. `num_rows` and `seed` are for generated sources alone: a file has the rows that it has."""
    identity = source_identity(name, base, key=key)
    scheme, rest = _split_name(name, key)
    if scheme == "world":
        task, knobs = world.find_task(rest, key)
        return Source(name, identity, {"train": Rows(name, task.columns, lambda: task.rows(knobs, num_rows, seed))}, task.named)
    if scheme == "file":
        return Source(name, identity, {"train": _file_rows(_path(rest, base))})
    if scheme in contributed():
        return Source(name, identity, contributed()[scheme].splits(rest, base))
    return Source(name, identity, _hub_splits(hub.parse(name, key), key))


def source_identity(name: str, base: Path, *, key: str = "task.data") -> str:
    """What the rows are, without where they are: a file's bytes, a dataset's commit, a generator's version."""
    scheme, rest = _split_name(name, key)
    if scheme == "world":
        _, knobs = world.find_task(rest, key)
        return f"world:{rest.partition('?')[0]}@{VERSION} {knobs.model_dump_json()}"
    if scheme == "file":
        path = _path(rest, base)
        files.check_file(path, f"{key}: {name}")
        return f"sha256:{files.file_digest(path)}"
    if scheme in contributed():
        return f"{scheme}:{contributed()[scheme].identity(rest, base)}"
    return str(hub.parse(name, key))


def _split_name(name: str, key: str) -> tuple[str, str]:
    scheme, colon, rest = name.partition(":")
    if colon and rest and (scheme in SCHEMES or scheme in contributed()):
        return scheme, rest
    forms = ", ".join([*(form for form, _ in SCHEMES.values()), *(f"{other}:…" for other in contributed())])
    raise ConfigError(f"{key}: {name!r} is not the name of a data source{_meant(name, scheme)}; write one of {forms}")


def _meant(name: str, scheme: str) -> str:
    if Path(name).suffix in files.READERS and ":" not in name:
        return f" (did you mean 'file:{name}'?)"
    return closest(scheme, SCHEMES)


def _path(rest: str, base: Path) -> Path:
    return base / Path(rest).expanduser()


def _file_rows(path: Path) -> Rows:
    first = next(islice(files.read_file(path), 1), None)
    if first is None:
        raise DataError(f"{path.name} has no rows; check that it was written to the end")
    return Rows(path.name, tuple(first), lambda: files.read_file(path))


def _hub_splits(name: hub.HubName, key: str) -> dict[str, Rows]:
    splits: Mapping[str, Any] = hub.load(name, key)
    if name.split and name.split not in splits:
        raise ConfigError(f"{key}: {name} has no split {name.split!r}{closest(name.split, splits)}; there are: {', '.join(splits)}")
    wanted = [name.split] if name.split else list(splits)
    return {split: Rows(f"{name.repo} {split}", tuple(splits[split].column_names), splits[split].__iter__) for split in wanted}
