"""The page: what it is made of, that anybody's text stays text, that links lead somewhere, how large it is."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.reports.document import Document, Figure, Link, Notes, Paragraph, Section, Table
from w2s_ray.reports.drawing import canvas, draw, inline
from w2s_ray.reports.html import render_page
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.schema import parse


class Read(HTMLParser):
    """A page's tags with their attributes, its ids, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def picture() -> Any:
    drawn = canvas(2, 1)
    drawn.subplots().plot([0, 1], [1, 0])
    return drawn


def test_links_lead_to_rows_that_are_there_and_no_name_stands_twice(results: dict[str, Any]) -> None:
    read = Read(render_page(study_page(parse(results))))
    ids = read.all("id")
    assert len(ids) == len(set(ids))
    inside = [to[1:] for to in read.all("href") if to.startswith("#")]
    assert {"main", "cell-0", "keys-0"} <= set(inside) <= set(ids)
    assert set(read.all("aria-labelledby")) | set(read.all("aria-describedby")) <= set(ids)


def test_a_page_needs_nothing_else(results: dict[str, Any]) -> None:
    read = Read(render_page(study_page(parse(results))))
    assert not read.all("src")
    assert {tag for tag, _ in read.tags} & {"iframe", "object", "embed", "base", "form"} == set()
    (policy,) = [attributes["content"] for tag, attributes in read.tags if "http-equiv" in attributes]
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.partition("script-src")[2]


HOSTILE = st.text(st.sampled_from("<>&\"'`*#/\\|\n $ax="), max_size=20) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '" onload="x',
        "javascript:alert(1)",
        "</style>",
        "<!--",
        "]]>",
        "$\\frac{1}{2}$",
        "数 🙂",
    ]
)


@given(st.lists(HOSTILE, min_size=8, max_size=8))
@settings(max_examples=40, deadline=None)
def test_anybodys_text_stays_text(texts: list[str]) -> None:
    title, words, item, head, entry, to, name, alt = texts

    def drawn() -> Any:
        made = picture()
        made.axes[0].set_title(words)
        return made

    table = Table((head, "n"), ((entry, Link(item, to)), (Link(entry, "#a"), "1")), 1, (name, alt), (0,))
    parts = (Paragraph(words), Notes((item,)), table, Figure("x.svg", title, alt, drawn))
    read = Read(render_page(Document(title, (), (Section(title, parts),))))
    assert sum(tag == "script" for tag, _ in read.tags) == 1
    assert not [attribute for _, attributes in read.tags for attribute in attributes if attribute.startswith("on")]
    assert not [to for to in read.all("href") if re.match(r"\s*[a-z]+:(?!,)", to, re.IGNORECASE)]
    shown = "".join(read.text)
    for text in (title, head):
        assert text.strip() in shown or not text.strip()


def test_an_inline_picture_takes_the_pages_ink_and_names_of_its_own() -> None:
    figure = Figure("x.svg", "t", "a", picture)
    svg = draw(Document("d", (), (Section("s", (figure,)),)))["x.svg"]
    one, two = inline(svg, "one"), inline(svg, "two")
    assert one.startswith("<svg") and "currentColor" in one and "<metadata>" not in one
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    for text, own in zip((one, two), ids, strict=True):
        used = {*re.findall(r"url\(#([^)]+)\)", text), *re.findall(r'xlink:href="#([^"]+)"', text)}
        assert used and used <= own
    assert svg == draw(Document("d", (), (Section("s", (figure,)),)))["x.svg"], "the same picture is the same file"


def test_five_hundred_cells_are_under_two_megabytes(results: dict[str, Any]) -> None:
    many = grown(results, 500)
    page = render_page(study_page(parse(many)))
    assert len(page.encode()) < 2_000_000
    assert page.count('id="cell-') == 500


def grown(results: dict[str, Any], count: int) -> dict[str, Any]:
    """The results with so many cells: copies under other names, five seeds a method."""
    cell = next(cell for cell in results["cells"] if cell["status"] == "ok")
    roles = ("floor", "student", "ceiling", "labels", "score")
    keys = {role: f"train/world-small-full-s0-{role:x<12}"[:48] for role in roles}
    cells, summary = [], []
    for place in range(count):
        names = {"method": f"method-{place // 5}", "seed": place % 5, "keys": keys}
        cells.append(copy.deepcopy(cell) | names)
        if place % 5 == 0:
            summary.append(copy.deepcopy(results["summary"][0]) | {"method": names["method"], "excluded": []})
    return results | {"cells": cells, "summary": summary, "store": "../../store"}
