"""Questions that a model answers in its own words, or by choosing one of given answers."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from w2s_ray.core.errors import DataError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import CHOICE, GENERATION, Kind
from w2s_ray.data.formats import Draw, Example, Row, text_of
from w2s_ray.data.formats.choices import options_of, right_option


class _Answered(Frozen):
    classes: ClassVar[tuple[str, ...] | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "end"
    hub: ClassVar[str] = ""
    test_split: ClassVar[str] = "test"


class Generation(_Answered):
    """a prompt and the text that answers it, to be generated: chess puzzles, sums, translations (columns prompt,
    answer)"""

    type: Literal["generation"] = "generation"
    kind: ClassVar[Kind] = GENERATION
    columns: ClassVar[tuple[str, ...]] = ("prompt", "answer")
    group: ClassVar[str | None] = None

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "prompt"),)

    def example(self, row: Row, draw: Draw) -> Example:
        return Example(self.content(row), _answer(row))


class Question(_Answered):
    """a question, read as "Q: … A:", and its answer, to be generated (columns question, answer)"""

    type: Literal["question"] = "question"
    kind: ClassVar[Kind] = GENERATION
    columns: ClassVar[tuple[str, ...]] = ("question", "answer")
    group: ClassVar[str | None] = "question"

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "question"),)

    def example(self, row: Row, draw: Draw) -> Example:
        return Example((f"Q: {text_of(row, 'question')} A:",), _answer(row))


class Choice(_Answered):
    """a question, read as "Q: … A:", and answers of which the likeliest is chosen (columns question, choices and
    answer, as `choices` reads them)"""

    type: Literal["choice"] = "choice"
    kind: ClassVar[Kind] = CHOICE
    columns: ClassVar[tuple[str, ...]] = ("question", "choices", "answer")
    group: ClassVar[str | None] = "question"

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "question"), *options_of(row))

    def example(self, row: Row, draw: Draw) -> Example:
        options = options_of(row)
        right = right_option(row["answer"], options)
        if len(set(options)) < len(options):
            raise DataError(
                f"column 'choices' holds {options}, of which two are equal, so that neither can be the likelier one;"
                " mend or drop the row"
            )
        # In an order of their own, so that a place tells nothing: the authors of a dataset may put the right one first.
        shown = sorted(options, key=lambda option: draw(f"place of {option}"))
        return Example(
            (f"Q: {text_of(row, 'question')} A:", json.dumps(shown, ensure_ascii=False)), str(shown.index(right))
        )


def _answer(row: Row) -> str:
    value = row["answer"]
    return text_of(
        {"answer": str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value}, "answer"
    ).strip()
