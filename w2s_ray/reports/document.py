"""What a report is made of: sections with paragraphs, tables, notes and figures. Pages fill it, renderers print it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paragraph:
    """Words; the renderer may break lines where it likes."""

    text: str


@dataclass(frozen=True)
class Notes:
    """A list of things to know."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text; columns from `numbers_from` on hold numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers_from: int


@dataclass(frozen=True)
class Figure:
    """A picture in a file of its own, which the words around it name."""

    file: str
    draw: Callable[[Path], None]


Part = Paragraph | Notes | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: tuple[Part, ...]
    inner: tuple[Section, ...] = ()


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
