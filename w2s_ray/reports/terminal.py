"""A section as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from w2s_ray.reports.document import Document, Notes, Paragraph, Section, Table, words
from w2s_ray.reports.pages.brief import brief_section
from w2s_ray.reports.schema import parse

if TYPE_CHECKING:
    from rich.table import Table as Printed


def summary_table(results: Mapping[str, Any]) -> Printed:
    """What `w2s run` ends with."""
    return render(brief_section(parse(results)))


def lines(document: Document) -> Iterator[Printed | str]:
    """A whole document: each section's table with what stands under it, and its notes as lines."""
    for section in document.sections:
        if any(isinstance(part, Table) for part in section.parts):
            yield render(section)
        else:
            yield section.title
            yield from (part.text for part in section.parts if isinstance(part, Paragraph))
        yield from (f"- {item}" for part in section.parts if isinstance(part, Notes) for item in part.items)
        yield ""


def render(section: Section) -> Printed:
    """Its table under its title, with the paragraphs below. A row of one cell is a heading."""
    from rich import box
    from rich.table import Table as Printed
    from rich.text import Text

    printed = Printed(
        box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_justify="left", caption_justify="left"
    )
    printed.title = Text(section.title)
    printed.caption = Text("\n".join(part.text for part in section.parts if isinstance(part, Paragraph)))
    (table,) = (part for part in section.parts if isinstance(part, Table))
    for place, name in enumerate(table.header):
        if place < table.numbers_from:
            printed.add_column(name, overflow="fold")
        else:
            printed.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:  # as Text: names may hold brackets, which rich would read as markup
        printed.add_row(*(Text(words(entry)) for entry in row))
    return printed
