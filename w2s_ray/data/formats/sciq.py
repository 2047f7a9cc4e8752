"""Science questions with one candidate answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import BINARY, Draw, Example, Row, candidate, text_of

DISTRACTORS = ("distractor1", "distractor2", "distractor3")


class SciQ(Frozen):
    """openai/weak-to-strong: is this the answer? (columns question, correct_answer, distractor1 to 3)"""

    type: Literal["sciq"] = "sciq"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("question", "correct_answer", *DISTRACTORS)
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = "question"
    keeps: ClassVar[Literal["start", "end"]] = "end"
    hub: ClassVar[str] = "allenai/sciq"
    test_split: ClassVar[str] = "test"
    draws: ClassVar[bool] = True

    def content(self, row: Row) -> tuple[str, ...]:
        return tuple(text_of(row, column) for column in self.columns)

    def example(self, row: Row, draw: Draw) -> Example:
        question, right, *wrong = self.content(row)
        answer, label = candidate(draw, right, wrong)
        return Example((f"Q: {question} A: {answer}",), label)
