"""Which of two texts is better: reward modelling as classification."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import PREFERENCE, Kind
from w2s_ray.data.formats import BINARY, Draw, Example, Row, text_of


class Preference(Frozen):
    """two texts in random order and the index of the preferred one (columns chosen, rejected; rows where they are equal
    are skipped)"""

    type: Literal["preference"] = "preference"
    kind: ClassVar[Kind] = PREFERENCE
    columns: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "end"  # both begin with the same dialogue
    hub: ClassVar[str] = ""
    test_split: ClassVar[str] = "test"

    def content(self, row: Row) -> tuple[str, ...]:
        # Sorted: which of the two is preferred is the gold label, and must decide neither split nor order.
        return tuple(sorted((text_of(row, "chosen"), text_of(row, "rejected"))))

    def example(self, row: Row, draw: Draw) -> Example | None:
        first, second = self.content(row)
        if first == second:
            return None
        shown = (first, second) if draw("order") < 0.5 else (second, first)
        return Example(shown, str(shown.index(text_of(row, "chosen"))))
