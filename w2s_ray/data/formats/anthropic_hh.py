"""Dialogues of Anthropic's helpfulness and harmlessness data, one at a time."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import BINARY, Draw, Example, Row, pick, text_of


class AnthropicHH(Frozen):
    """openai/weak-to-strong: was this dialogue the chosen one of its pair? near chance, see `preference` (columns
    chosen, rejected; equal ones are skipped)"""

    type: Literal["anthropic_hh"] = "anthropic_hh"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "end"
    hub: ClassVar[str] = "Anthropic/hh-rlhf"
    test_split: ClassVar[str] = "test"
    draws: ClassVar[bool] = True

    def content(self, row: Row) -> tuple[str, ...]:
        # Sorted, so that the gold label decides neither the split nor which of the two is shown.
        return tuple(sorted((text_of(row, "chosen"), text_of(row, "rejected"))))

    def example(self, row: Row, draw: Draw) -> Example | None:
        texts = list(self.content(row))
        if texts[0] == texts[1]:
            return None
        shown = pick(draw, "coin", texts)
        return Example((shown,), str(int(shown == text_of(row, "chosen"))))
