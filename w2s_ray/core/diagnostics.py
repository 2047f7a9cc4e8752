"""`Diagnostic`: a table, and optionally a figure of it, that a method returns beside its student. Reports draw whatever
is declared, so that a new diagnostic needs code in its method's file only.

A number that needs gold is declared as `Scored`: the scorer, which sees gold, fills it in after the method has ended,
so that no gold reaches a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Show = Literal["text", "count", "share", "number"]


@dataclass(frozen=True)
class Column:
    """A column: its name in files, its heading for people, and how its values are formatted. Numbers are means over
    seeds."""

    name: str
    words: str
    show: Show = "text"


@dataclass(frozen=True)
class Scored:
    """A metric of labels or predictions on the pool or on the test rows, filled in by the scorer; `labels` is their
    handle."""

    labels: Any
    rows: Literal["pool", "test"]
    metric: str = "accuracy"


@dataclass(frozen=True)
class Curves:
    """A figure of a table: one panel for each column in `y`, one line for each group of cells."""

    x: str
    y: tuple[str, ...]


@dataclass(frozen=True)
class Diagnostic:
    """A table, for each cell. `name` is the stem of its files' names."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]  # column -> text, number, None or Scored
    note: str = ""
    figure: Curves | None = None
    on_page: tuple[int, ...] | None = None  # the rows that the report shows; None: all
