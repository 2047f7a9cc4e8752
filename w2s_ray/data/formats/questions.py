"""Multiple-choice datasets as "is this candidate the answer?", one candidate a question (see `templates` for their
source).

Departures from EleutherAI/w2s. OpenBookQA shows the text of the candidate; upstream shows the letter of the right one
and the text of a wrong one, so that the form gives the label away. SciQ with support skips the questions without a
passage, where upstream shows an empty one. An option that reads like the right one is never shown as wrong.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.errors import DataError
from w2s_ray.data.formats import Draw, Example, Row, candidate, label_of, text_of
from w2s_ray.data.formats.sciq import DISTRACTORS
from w2s_ray.data.formats.templates import Templated


class Question(Templated):
    """The template filled with the columns that it names, with `{candidate}`, and with `{options}`: all of them, a line
    each."""

    options: ClassVar[tuple[str, ...]]  # one column each; a single one holds a list, or {"text": […], "label": […]}
    # What the gold column calls the options, a character each; "" where it repeats a text, or names stand beside them.
    names: ClassVar[str] = ""
    gold: ClassVar[str] = "label"
    draws: ClassVar[bool] = True

    def content(self, row: Row) -> tuple[str, ...]:
        # Sorted: where the right option has a column of its own, their order is the gold label.
        return (*self.texts(row).values(), *sorted(self._options(row).values()))

    def example(self, row: Row, draw: Draw) -> Example | None:
        options = self._options(row)
        right = self._right(row, options)
        shown, label = candidate(draw, right, sorted(text for text in options.values() if text != right))
        return Example(
            (self.asks.format(**self.texts(row), options="\n".join(options.values()), candidate=shown),), label
        )

    def _options(self, row: Row) -> dict[str, str]:
        """What the gold column calls an option -> its text."""
        if len(self.options) > 1:
            texts = [text_of(row, column) for column in self.options]
            return dict(zip(self.names or texts, texts, strict=True))
        (column,) = self.options
        cell = row[column]
        names, listed = (cell.get("label"), cell.get("text")) if isinstance(cell, dict) else (self.names, cell)
        if not isinstance(listed, list) or len(listed) < 2 or names is None or len(names) not in (0, len(listed)):
            wanted = (
                f"{len(self.names)} texts" if self.names else "two texts or more, each with its name if they have names"
            )
            raise DataError(
                f"column {column!r} holds {str(cell)[:60]!r}; it must be a list of {wanted}: mend or drop the row"
            )
        texts = [text_of({column: text}, column) for text in listed]
        return dict(zip(names or texts, texts, strict=True))

    def _right(self, row: Row, options: dict[str, str]) -> str:
        gold = row[self.gold]
        name = gold if isinstance(gold, str) and gold in options else label_of(row, self.gold)
        if name not in options:
            raise DataError(
                f"column {self.gold!r} holds {name[:60]!r}; it must be one of {', '.join(map(repr, options))}: mend or"
                " drop the row"
            )
        return options[name]


class DREAM(Question):
    """is this the answer to the question about the dialogue? (columns dialogue, question, choice, answer)"""

    type: Literal["dream"] = "dream"
    hub = "dataset-org/dream"
    columns = ("dialogue", "question", "choice", "answer")
    group = "dialogue"
    options = ("choice",)
    gold = "answer"
    asks = "{dialogue}\n\nQ: {question} A: {candidate}"


class HellaSwag(Question):
    """is this the best continuation? (columns ctx, endings, label, source_id: the film or article)"""

    type: Literal["hellaswag"] = "hellaswag"
    hub = "Rowan/hellaswag"
    columns = ("ctx", "endings", "label", "source_id")
    group = "source_id"  # a film's scenes overlap
    test_split = "validation"
    options = ("endings",)
    names = "0123"
    asks = 'Context:\n{ctx}\n\nContinuations:\n\n{options}\n\nQ: Is "{candidate}" the best continuation?'


class OpenBookQA(Question):
    """is this the answer? (columns question_stem, choices, answerKey)"""

    type: Literal["openbookqa"] = "openbookqa"
    hub = "allenai/openbookqa"
    columns = ("question_stem", "choices", "answerKey")
    group = "question_stem"
    options = ("choices",)
    gold = "answerKey"
    asks = "Q: {question_stem}\n\nChoices:\n{options}\n\nAnswer: {candidate}"


class PIQA(Question):
    """is this the better way to reach the goal? (columns goal, sol1, sol2, label)"""

    type: Literal["piqa"] = "piqa"
    hub = "ybisk/piqa"
    columns = ("goal", "sol1", "sol2", "label")
    group = "goal"
    test_split = "validation"
    options = ("sol1", "sol2")
    names = "01"
    asks = "Q: {goal} A: {candidate}"


class QuAIL(Question):
    """is this the answer to the question about the passage? (columns context, question, answers, correct_answer_id)"""

    type: Literal["quail"] = "quail"
    hub = "textmachinelab/quail"
    columns = ("context", "question", "answers", "correct_answer_id")
    group = "context"
    test_split = "validation"
    options = ("answers",)
    names = "0123"
    gold = "correct_answer_id"
    asks = 'Passage:\n\n{context}\n\nQ: "{question}" Is the answer "{candidate}"?'


class QuaRTz(Question):
    """is this the answer to the question about the passage? (columns para, question, choices, answerKey)"""

    type: Literal["quartz"] = "quartz"
    hub = "allenai/quartz"
    columns = ("para", "question", "choices", "answerKey")
    group = "para"
    options = ("choices",)
    gold = "answerKey"
    asks = 'Passage:\n{para}\n\nQ: "{question}" Is the answer "{candidate}"?'


class SciQWithSupport(Question):
    """is this the answer to the question about the passage? (columns support, question, correct_answer, distractor1 to
    3; rows without support are skipped)"""

    type: Literal["sciq_with_support"] = "sciq_with_support"
    hub = "allenai/sciq"
    columns = ("support", "question", "correct_answer", *DISTRACTORS)
    group = "support"
    options = ("correct_answer", *DISTRACTORS)
    gold = "correct_answer"
    asks = 'Name: Bob\n\nPassage 1:\n{support}\n\nQ1: "{question}" Is the answer "{candidate}"?'

    def content(self, row: Row) -> tuple[str, ...]:
        return super().content(row) if _is_filled(row["support"]) else ()

    def example(self, row: Row, draw: Draw) -> Example | None:
        return super().example(row, draw) if _is_filled(row["support"]) else None


def _is_filled(cell: object) -> bool:
    return cell is not None and bool(str(cell).strip())


class SocialIQA(Question):
    """is this the answer to the question about the situation? (columns context, question, answerA to answerC, label: 1
    to 3)"""

    type: Literal["social_i_qa"] = "social_i_qa"
    hub = "allenai/social_i_qa"
    columns = ("context", "question", "answerA", "answerB", "answerC", "label")
    group = "context"
    test_split = "validation"
    options = ("answerA", "answerB", "answerC")
    names = "123"
    asks = 'Context:\n{context}\n\nQuestion: "{question}"\n\nChoices:\n{options}\n\nIs the answer "{candidate}"?'
