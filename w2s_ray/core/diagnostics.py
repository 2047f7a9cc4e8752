"""`Diagnostic`: a table that a method returns beside its student, and a picture of it. Reports draw whatever is
declared, so that a new one is written where its method is and nowhere else.

A number that only gold can tell is declared as `Scored`: the scorer, which sees gold, puts it in after the method has
ended, so that nothing of it comes back to a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Show = Literal["text", "count", "share", "number"]


@dataclass(frozen=True)
class Column:
    """A column: its name in files, what people call it, how its values are shown; numbers are means over seeds."""

    name: str
    words: str
    show: Show = "text"


@dataclass(frozen=True)
class Scored:
    """How good labels or predictions are on the pool or on the test rows; `labels` is their handle."""

    labels: Any
    rows: Literal["pool", "test"]
    metric: str = "accuracy"


@dataclass(frozen=True)
class Curves:
    """A picture of a table: one panel a column, one line for each group of cells."""

    x: str
    y: tuple[str, ...]


@dataclass(frozen=True)
class Diagnostic:
    """A table, for each cell. `name` is that of its files."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]  # column -> text, number, None or Scored
    note: str = ""
    figure: Curves | None = None
    on_page: tuple[int, ...] | None = None  # the rows that the report shows; None: all
