"""Commonsense reading of short narratives, with one candidate answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.errors import DataError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import BINARY, Draw, Example, Row, candidate, label_of, pick, text_of

ANSWERS = ("answer0", "answer1", "answer2", "answer3")
NONE_OF_THE_ABOVE = "None of the above choices ."


class CosmosQA(Frozen):
    """openai/weak-to-strong: is this the answer? "none of the above" is never shown as right (columns context,
    question, answer0 to 3, label)"""

    type: Literal["cosmos_qa"] = "cosmos_qa"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("context", "question", *ANSWERS, "label")
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = "context"
    keeps: ClassVar[Literal["start", "end"]] = "end"
    hub: ClassVar[str] = "allenai/cosmos_qa"
    test_split: ClassVar[str] = "validation"  # the test split has no public labels
    draws: ClassVar[bool] = True

    def content(self, row: Row) -> tuple[str, ...]:
        return tuple(text_of(row, column) for column in ("context", "question", *ANSWERS))

    def example(self, row: Row, draw: Draw) -> Example:
        context, question, *answers = self.content(row)
        index = label_of(row)
        if index not in ("0", "1", "2", "3"):
            raise DataError(
                f"column 'label' holds {index!r}; it must be the index of the right answer, 0 to 3: mend or drop"
                " the row"
            )
        right = answers[int(index)]
        wrong = [answer for answer in answers if answer != right]
        if NONE_OF_THE_ABOVE in right:
            answer, label = pick(draw, "distractor", wrong), "0"
        else:
            answer, label = candidate(draw, right, wrong)
        return Example((f"Context: {context}\nQuestion: {question}\nAnswer: {answer}",), label)
