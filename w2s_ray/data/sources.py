"""Where rows come from, by name: `world:TASK` is generated, `file:PATH` is read, `hub:ORG/NAME@COMMIT` is fetched.

A source is a few splits of raw rows (dicts) and the identity of their content, which does not hold the place that they
were read from.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import closest, contributed, load
from w2s_ray.data.files import READERS
from w2s_ray.data.scheme import Asked, Scheme, Source

GROUP = "w2s_ray.sources"  # entry points of other packages, each a Scheme

# Found by name, so that a scheme may lie above this room: the built-in world does.
BUILT_IN = {
    "world": "w2s_ray.world.source:SCHEME",
    "file": "w2s_ray.data.files:SCHEME",
    "hub": "w2s_ray.data.hub:SCHEME",
}


@cache
def schemes() -> dict[str, Scheme]:
    """All schemes by name; the built-in ones cannot be replaced."""
    return {name: load(place) for name, place in BUILT_IN.items()} | contributed(GROUP, BUILT_IN)


def open_source(name: str, base: Path, *, key: str = "task.data", num_rows: int = 10_000, seed: int = 0) -> Source:
    """Open a source by name. `num_rows` and `seed` are for generated sources alone: a file has the rows that it has."""
    scheme, rest = _split_name(name, key)
    asked = Asked(rest, base, key, num_rows, seed)
    return Source(name, scheme.identity(asked), scheme.splits(asked), scheme.columns(asked))


def source_identity(name: str, base: Path, *, key: str = "task.data") -> str:
    """What the rows are, without where they are: a file's bytes, a dataset's commit, a generator's version."""
    scheme, rest = _split_name(name, key)
    return scheme.identity(Asked(rest, base, key))


def format_named_by(name: str) -> str | None:
    """The format that a source's rows are made for, where it says so."""
    scheme, rest = _split_name(name, "task.data")
    return scheme.format(Asked(rest, Path()))


def _split_name(name: str, key: str) -> tuple[Scheme, str]:
    scheme, colon, rest = name.partition(":")
    if colon and rest and scheme in schemes():
        return schemes()[scheme], rest
    forms = ", ".join(scheme.form for scheme in schemes().values())
    raise ConfigError(f"{key}: {name!r} is not the name of a data source{_meant(name, scheme)}; write one of {forms}")


def _meant(name: str, scheme: str) -> str:
    if Path(name).suffix in READERS and ":" not in name:
        return f" (did you mean 'file:{name}'?)"
    return closest(scheme, schemes())
