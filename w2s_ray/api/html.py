"""A section as HTML for a notebook. Names and reasons are anybody's, so all of it is escaped."""

from __future__ import annotations

from html import escape

from w2s_ray.reports.document import Entry, Paragraph, Section, Table, words


def section_html(section: Section) -> str:
    """Its title, tables and paragraphs."""
    parts = [_table(part) if isinstance(part, Table) else _paragraph(part) for part in section.parts]
    return f"<div><strong>{escape(section.title)}</strong>{''.join(parts)}</div>"


def _paragraph(part: object) -> str:
    return f"<p>{escape(part.text)}</p>" if isinstance(part, Paragraph) else ""


def _table(table: Table) -> str:
    head = "".join(_cell("th", name, place, table) for place, name in enumerate(table.header))
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(row, table) for row in table.rows)}</tbody></table>"
    )


def _row(row: tuple[Entry, ...], table: Table) -> str:
    """A row of one cell is a heading."""
    if len(row) == 1 < len(table.header):
        return f'<tr><th colspan="{len(table.header)}" style="text-align: left">{escape(words(row[0]))}</th></tr>'
    return f"<tr>{''.join(_cell('td', entry, place, table) for place, entry in enumerate(row))}</tr>"


def _cell(tag: str, entry: Entry, place: int, table: Table) -> str:
    side = "right" if place >= table.numbers_from else "left"
    return f'<{tag} style="text-align: {side}">{escape(words(entry))}</{tag}>'
