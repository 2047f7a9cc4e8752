"""Multiple choice as "is this answer right?", one candidate a question (EleutherAI/w2s `w2s/ds_registry.py`; Burns et
al. 2023, appendix on tasks)."""

from __future__ import annotations

import string
from typing import ClassVar, Literal

from w2s_ray.core.errors import DataError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.core.plugins import closest
from w2s_ray.data.formats import BINARY, Draw, Example, Row, candidate, text_of


class Choices(Frozen):
    """a question and one candidate answer, right or not (columns question; choices: a list, or columns "a, b, c";
    answer: index from 0, letter or text)"""

    type: Literal["choices"] = "choices"
    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]] = ("question", "choices", "answer")
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = "question"
    keeps: ClassVar[Literal["start", "end"]] = "end"
    hub: ClassVar[str] = ""
    test_split: ClassVar[str] = "test"
    draws: ClassVar[bool] = True

    def content(self, row: Row) -> tuple[str, ...]:
        return (text_of(row, "question"), *options_of(row))

    def example(self, row: Row, draw: Draw) -> Example:
        options = options_of(row)
        right = right_option(row["answer"], options)
        answer, label = candidate(draw, right, [option for option in options if option != right])
        return Example((f"Q: {text_of(row, 'question')} A: {answer}",), label)


def options_of(row: Row) -> list[str]:
    """The choices, as a list of texts."""
    options = row["choices"]
    if isinstance(options, dict):
        options = options.get("text")  # the layout of ARC and OpenBookQA: {"text": […], "label": ["A", …]}
    if not isinstance(options, list | tuple) or len(options) < 2:
        found = str(row["choices"])[:60]
        raise DataError(
            f"column 'choices' holds {found!r}; it must be a list of two texts or more, or name their columns:"
            ' {choices: "a, b, c"}'
        )
    return [
        text_of({"choices": str(option) if isinstance(option, int | float) else option}, "choices")
        for option in options
    ]


def right_option(answer: object, options: list[str]) -> str:
    """The right option, by its index from 0, its letter or its text; what could be two of them is refused."""
    spelled = str(answer).strip()
    index = int(spelled) if spelled.isdecimal() and not isinstance(answer, bool) else -1
    if len(spelled) == 1 and spelled in string.ascii_uppercase:
        index = string.ascii_uppercase.index(spelled)
    by_index = [options[index]] if 0 <= index < len(options) else []
    by_text = [option for option in options if option == answer]
    meant = dict.fromkeys(by_index + by_text)
    if len(meant) == 1:
        return next(iter(meant))
    unknown = (
        f"is neither an index from 0 to {len(options) - 1}, nor a letter, nor one of them{closest(spelled, options)}"
    )
    fault = "could be an index or a text" if meant else unknown
    raise DataError(
        f"column 'answer' holds {answer!r}, which among the choices {options} {fault}; write the text of the right"
        " choice"
    )
