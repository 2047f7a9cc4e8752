"""One text, one label: the plainest task."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import Draw, Example, Row, label_of, text_of


class Text(Frozen):
    """one text and its class (columns text, label; two or more classes)"""

    type: Literal["text"] = "text"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("text", "label")
    classes: ClassVar[tuple[str, ...] | None] = None
    group: ClassVar[str | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "start"
    hub: ClassVar[str] = ""
    test_split: ClassVar[str] = "test"

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "text"),)

    def example(self, row: Row, draw: Draw) -> Example:
        return Example((text_of(row, "text"),), label_of(row))
