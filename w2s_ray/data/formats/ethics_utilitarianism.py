"""Which of two experiences is the more pleasant one (see `templates` for the source). The answer shown is a number, so
it is drawn without a look at gold."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.data.formats import Draw, Example, Row, text_of
from w2s_ray.data.formats.templates import Templated


class EthicsUtilitarianism(Templated):
    """is this the number of the more pleasant of two experiences? (columns baseline, the more pleasant, and
    less_pleasant; equal ones are skipped)"""

    type: Literal["ethics_utilitarianism"] = "ethics_utilitarianism"
    hub = "hendrycks/ethics/utilitarianism"
    columns = ("baseline", "less_pleasant")
    draws: ClassVar[bool] = True
    asks = "Which is more pleasant?\n1) {first}\n2) {second} A: {number}"

    def content(self, row: Row) -> tuple[str, ...]:
        # Sorted: which column a text stands in is the gold label.
        return tuple(sorted(text_of(row, column) for column in self.columns))

    def example(self, row: Row, draw: Draw) -> Example | None:
        first, second = self.content(row)
        if first == second:
            return None
        if draw("order") < 0.5:
            first, second = second, first
        number = 1 if draw("coin") < 0.5 else 2
        shown = (first, second)[number - 1]
        return Example(
            (self.asks.format(first=first, second=second, number=number),), str(int(shown == text_of(row, "baseline")))
        )
