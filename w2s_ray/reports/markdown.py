"""A document as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from w2s_ray.reports.document import Document, Entry, Figure, Notes, Paragraph, Part, Section, words
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.schema import parse


def report(results: Mapping[str, Any]) -> str:
    """A study's page. Raises when `results` does not fit the schema."""
    return render(study_page(parse(results)))


def render(document: Document) -> str:
    """The whole page."""
    blocks = [f"# {line(document.title)}", *map(_part, document.parts)]
    for section in document.sections:
        blocks += _section(section, 2)
    return "\n\n".join(blocks) + "\n"


def _section(section: Section, depth: int) -> list[str]:
    blocks = [f"{'#' * depth} {line(section.title)}"]
    blocks += [_part(part) for part in section.parts]
    for inner in section.inner:
        blocks += _section(inner, depth + 1)
    return blocks


def _part(part: Part) -> str:
    if isinstance(part, Paragraph):
        return line(part.text)
    if isinstance(part, Notes):
        return "\n".join(f"- {line(item)}" for item in part.items)
    if isinstance(part, Figure):
        return f"![{line(part.title)}]({part.file})"
    rule = ["---" if column < part.numbers_from else "---:" for column in range(len(part.header))]
    return "\n".join(_row(entries) for entries in (part.header, rule, *part.rows))


def _row(entries: Iterable[Entry]) -> str:
    return f"| {' | '.join(map(_entry, entries))} |"


def _entry(entry: Entry) -> str:
    """Links to rows are a page's; here a row is found by reading."""
    text = line(words(entry)).replace("|", "\\|")
    return text if isinstance(entry, str) or entry.to.startswith("#") else f"[{text}]({quote(entry.to)})"


def line(text: str) -> str:
    """On one line, so that a traceback or a folded YAML text does not break the page's structure."""
    return " ".join(text.split())
