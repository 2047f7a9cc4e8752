"""Yes-or-no questions about a passage."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import BINARY, Draw, Example, Row, text_of, yes_no


class BoolQ(Frozen):
    """openai/weak-to-strong: is the answer yes? (columns passage, question, answer)"""

    type: Literal["boolq"] = "boolq"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("passage", "question", "answer")
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = "passage"
    keeps: ClassVar[Literal["start", "end"]] = "end"
    hub: ClassVar[str] = "google/boolq"
    test_split: ClassVar[str] = "validation"

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "passage"), text_of(row, "question"))

    def example(self, row: Row, draw: Draw) -> Example:
        passage, question = self.content(row)
        return Example((f"Passage: {passage}\nQuestion: {question}",), yes_no(row, "answer"))
