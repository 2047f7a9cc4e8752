"""What a report is made of: sections with paragraphs, tables, notes and figures. Pages fill it, renderers print it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class Paragraph:
    """Words; the renderer may break lines where it likes."""

    text: str


@dataclass(frozen=True)
class Notes:
    """A list of things to know."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere: to a file beside the report, or with `#` to a row of it."""

    text: str
    to: str


Entry = str | Link


def words(entry: Entry) -> str:
    """Without where they lead."""
    return entry if isinstance(entry, str) else entry.text


@dataclass(frozen=True)
class Table:
    """Rows of text; columns from `numbers_from` on hold numbers. Rows may have names that links lead to; a page lets
    people choose among the values of the columns in `filters`, and order the rows; not `grouped` ones, where a row with
    one entry alone heads those below it."""

    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    numbers_from: int
    ids: tuple[str, ...] = ()
    filters: tuple[int, ...] = ()
    grouped: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture, which is also a file of its own. `title` says what it shows; `alt`, to those who cannot see it, what
    there is to be seen."""

    file: str
    title: str
    alt: str
    draw: Callable[[], Picture]


Part = Paragraph | Notes | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; `folded`, a page shows it when asked."""

    title: str
    parts: tuple[Part, ...]
    inner: tuple[Section, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Document:
    """A whole report, and the tables that lie beside it as files."""

    title: str
    parts: tuple[Part, ...]
    sections: tuple[Section, ...]
    files: tuple[DataFile, ...] = ()

    def figures(self) -> list[Figure]:
        """All pictures."""
        waiting, found = list(self.sections), []
        while waiting:
            section = waiting.pop(0)
            found += [part for part in section.parts if isinstance(part, Figure)]
            waiting += section.inner
        return found


@dataclass(frozen=True)
class DataFile:
    """A table in CSV, with numbers as they are."""

    file: str
    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
