"""Amazon reviews, positive or not."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import BINARY, Draw, Example, Row, label_of, text_of


class AmazonPolarity(Frozen):
    """openai/weak-to-strong: is this review positive? (columns title, content, label)"""

    type: Literal["amazon_polarity"] = "amazon_polarity"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("title", "content", "label")
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "start"
    hub: ClassVar[str] = "fancyzhx/amazon_polarity"
    test_split: ClassVar[str] = "test"

    def content(self, row: Row) -> tuple[str, ...]:
        title = text_of(row, "title") if row["title"] else ""  # some reviews have none
        return (title, text_of(row, "content"))

    def example(self, row: Row, draw: Draw) -> Example:
        return Example((" ".join(self.content(row)),), label_of(row))
