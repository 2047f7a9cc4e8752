"""Two texts, one label: entailment, paraphrase, question and passage."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import PAIR, Kind
from w2s_ray.data.formats import Draw, Example, Row, label_of, text_of


class Pair(Frozen):
    """two texts read together and their class (columns first, second, label)"""

    type: Literal["pair"] = "pair"
    kind: ClassVar[Kind] = PAIR
    columns: ClassVar[tuple[str, ...]] = ("first", "second", "label")
    classes: ClassVar[tuple[str, ...] | None] = None
    group: ClassVar[str | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "start"
    hub: ClassVar[str] = ""
    test_split: ClassVar[str] = "test"

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "first"), text_of(row, "second"))

    def example(self, row: Row, draw: Draw) -> Example:
        return Example(self.content(row), label_of(row))
