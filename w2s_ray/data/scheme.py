"""`Scheme`: one way to name a source of rows, with what it is given (`Asked`) and what it returns (`Rows`).

Built-in schemes, those of plug-ins and the built-in world are opened alike (`sources.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RawRow = Mapping[str, object]


@dataclass(frozen=True)
class Rows:
    """The raw rows of one split, which can be read more than once."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[], Iterable[RawRow]]


@dataclass(frozen=True)
class Asked:
    """A source's name without its scheme, and where it stands. The number of rows and the seed are for schemes that
    make their rows."""

    rest: str
    base: Path  # where relative paths start
    key: str = "task.data"  # of the study, for errors
    num_rows: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Scheme:
    """One way to name rows: `SCHEME:REST`."""

    form: str  # how such a name is written
    line: str  # what it is, for listings
    identity: Callable[[Asked], str]  # what the rows are, whatever the place: it decides what is reused
    splits: Callable[[Asked], Mapping[str, Rows]]
    # A format's column -> the rows' own, where they differ.
    columns: Callable[[Asked], Mapping[str, str]] = lambda asked: {}
    format: Callable[[Asked], str | None] = lambda asked: None  # the format that the rows are made for
    # Names that can be listed, each with a line; else the form stands for all.
    listed: Callable[[], Sequence[tuple[str, str]]] = tuple


@dataclass(frozen=True)
class Source:
    """An opened source. `columns` is what it knows of its own columns beyond the format's: slices of generated rows."""

    name: str
    identity: str
    splits: Mapping[str, Rows]
    columns: Mapping[str, str] = field(default_factory=dict)
