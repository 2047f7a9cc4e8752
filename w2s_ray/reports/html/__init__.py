"""A document as one HTML file that needs nothing else: style, script and pictures are inside, and it may ask no network
for anything. Light and dark, on a phone and on paper, with a keyboard and read aloud."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from itertools import count

from w2s_ray.reports.document import Document, Entry, Figure, Link, Notes, Paragraph, Part, Section, Table
from w2s_ray.reports.drawing import Pictures, draw, inline

FOLD, SPARE = 25, 5  # rows of a table that are shown at once; so few more are not folded away
LONG = 40  # letters; what is longer goes over several lines of a cell


def render_page(document: Document, pictures: Pictures | None = None) -> str:
    """The whole file. Pictures that were drawn already are not drawn again."""
    style, script = (files(__name__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    allowed = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'"
    body = "\n".join(_Page(document, draw(document) if pictures is None else pictures).parts())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<link rel="icon" href="data:,">
<title>{escape(document.title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


class _Page:
    """Numbers the parts of a document, so that each has a name of its own."""

    def __init__(self, document: Document, pictures: Pictures) -> None:
        self._document, self._pictures = document, pictures
        self._numbers = count(1)
        self._names: dict[str, int] = {}

    def parts(self) -> Iterator[str]:
        document = self._document
        named = [(self._name(section.title), section) for section in document.sections]
        yield '<a class="skip" href="#main">Skip to the results</a>'
        yield f"<header><h1>{escape(document.title)}</h1></header>"
        links = "".join(f'<li><a href="#{name}">{escape(section.title)}</a></li>' for name, section in named)
        if links:
            yield f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
        yield '<main id="main">'
        yield from (self._part(part, document.title) for part in document.parts)
        for name, section in named:
            yield from self._section(name, section, 2)
        yield "</main>"

    def _name(self, title: str) -> str:
        """For links: the title's letters, with a number where it was there before."""
        name = "-".join(re.findall(r"[a-z0-9]+", title.lower())) or "section"
        self._names[name] = self._names.get(name, 0) + 1
        return name if self._names[name] == 1 else f"{name}-{self._names[name]}"

    def _section(self, name: str, section: Section, depth: int) -> Iterator[str]:
        heading = f"<h{depth}>{escape(section.title)}</h{depth}>"
        yield f'<section id="{name}">'
        yield f"<details><summary>{heading}</summary>" if section.folded else heading
        yield from (self._part(part, section.title) for part in section.parts)
        for inner in section.inner:
            yield from self._section(self._name(inner.title), inner, min(depth + 1, 6))
        if section.folded:
            yield "</details>"
        yield "</section>"

    def _part(self, part: Part, title: str) -> str:
        if isinstance(part, Paragraph):
            return f"<p>{_words(part.text)}</p>"
        if isinstance(part, Notes):
            return f"<ul>{''.join(f'<li>{_words(item)}</li>' for item in part.items)}</ul>"
        if isinstance(part, Figure):
            return self._figure(part)
        return self._table(part, title)

    def _figure(self, figure: Figure) -> str:
        name = f"figure-{next(self._numbers)}"
        picture = inline(self._pictures[figure.file], name).replace(
            "<svg ", f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-alt" ', 1
        )
        return (
            f'<figure><div class="wide">{picture}</div>'
            f'<figcaption><a id="{name}-title" href="{escape(figure.file)}">{escape(figure.title)}</a></figcaption>'
            f'<p id="{name}-alt" class="aloud">{escape(figure.alt)}</p></figure>'
        )

    def _table(self, table: Table, title: str) -> str:
        head = "".join(
            f'<th scope="col"{_class(place, table)}{_filter(place, table)}>{escape(name)}</th>'
            for place, name in enumerate(table.header)
        )
        rows = "\n".join(f"<tr{_id(table, place)}>{_row(row, table)}</tr>" for place, row in enumerate(table.rows))
        more = f' data-fold="{FOLD}"' if len(table.rows) > FOLD + SPARE else ""
        return (
            f'<div class="wide" role="region" tabindex="0" aria-label="{escape(title)}, table"><table{more}>'
            f"<caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
        )


def _class(place: int, table: Table) -> str:
    return ' class="n"' if place >= table.numbers_from else ""


def _filter(place: int, table: Table) -> str:
    return " data-filter" if place in table.filters else ""


def _id(table: Table, place: int) -> str:
    return f' id="{escape(table.ids[place])}"' if table.ids else ""


def _row(row: Sequence[Entry], table: Table) -> str:
    if table.grouped and not any(row[1:]):
        return f'<th scope="rowgroup" colspan="{len(row)}">{_shown(row[0])}</th>'
    return "".join(_cell(entry, at, table) for at, entry in enumerate(row))


def _cell(entry: Entry, place: int, table: Table) -> str:
    tag = "th scope=row" if place == 0 else "td"
    long = len(entry.text if isinstance(entry, Link) else entry) > LONG and place < table.numbers_from
    kind = ' class="t"' if long else _class(place, table)
    return f"<{tag}{kind}>{_shown(entry)}</{tag[:2]}>"


def _shown(entry: Entry) -> str:
    return _link(entry) if isinstance(entry, Link) else escape(entry)


def _link(link: Link) -> str:
    """To a place of this page, or to a file by its path; nowhere else."""
    if not link.to.startswith("#") and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", link.to):
        return escape(link.text)
    return f'<a href="{escape(link.to)}">{escape(link.text)}</a>'


def _words(text: str) -> str:
    """With what stands between back-quotes as code, and between double stars as strong."""
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", shown)
