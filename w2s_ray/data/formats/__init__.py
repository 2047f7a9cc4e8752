"""How a raw row becomes inputs and a label: one small module a family of datasets.

A format is a plug-in of the group `w2s_ray.formats`. It says which columns it reads, what of a row is its *content*
(which decides id, split and random choices, and never holds a gold label that stands in a column of its own), and what
is asked about it. A random choice is a draw that depends on the seed, the content and the choice's name alone, so that
more rows change no other row.

The formats of Burns et al. 2023 (arXiv 2312.09390) follow `weak_to_strong/datasets.py` of
github.com/openai/weak-to-strong, commit 023e31b, in what they ask; their coin is drawn per row, upstream draws it from
one generator in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from w2s_ray.core.errors import DataError
from w2s_ray.core.kinds import Kind

Row = Mapping[str, object]
Draw = Callable[[str], float]  # purpose -> a number in [0, 1)

BINARY = ("0", "1")


@dataclass(frozen=True, slots=True)
class Example:
    """What is asked (one text for each input column of the format's kind) and the name of the right class."""

    inputs: tuple[str, ...]
    label: str


class Format(Protocol):
    """What every format declares. One whose train rows are not in the split `train` also says `train_split`; one that
    draws what a row shows says `draws`."""

    kind: ClassVar[Kind]
    columns: ClassVar[tuple[str, ...]]  # that it reads, besides id, group and slice
    classes: ClassVar[tuple[str, ...] | None]  # None: the rows' own labels
    group: ClassVar[str | None]  # the column whose rows belong together unless the task names another
    keeps: ClassVar[Literal["start", "end"]]  # which end of a text survives a cut: the one that the label is about
    hub: ClassVar[str]  # the dataset that has this layout, ORG/NAME or ORG/NAME/CONFIG; "" for generic formats
    test_split: ClassVar[str]

    def content(self, row: Row) -> tuple[str, ...]:
        """The texts that make the row what it is."""
        ...

    def example(self, row: Row, draw: Draw) -> Example | None:
        """The question and its answer; None where the row has nothing to ask."""
        ...


@runtime_checkable
class SharesPassages(Protocol):
    """A format whose rows belong together where a part of their group column is the same."""

    def passage(self, row: Row) -> str:
        """That part."""
        ...


def train_split(fmt: Format) -> str:
    """The split of its dataset that holds the train rows."""
    return str(getattr(fmt, "train_split", "train"))


def draws(fmt: Format) -> bool:
    """Whether chance decides what a row shows, as which of several answers, so that its class means nothing to who has
    not seen it drawn."""
    return bool(getattr(fmt, "draws", False))


def text_of(row: Row, column: str) -> str:
    """A text that is there, not blank, and can be written as UTF-8."""
    value = row[column]
    if not isinstance(value, str):
        found = "nothing" if value is None else repr(value)[:40]
        raise DataError(f"column {column!r} holds {found}, not a text; mend or drop the row")
    if not value.strip():
        raise DataError(f"column {column!r} holds an empty text; mend or drop the row")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"column {column!r} holds half a character ({value[error.start]!r}), which is not UTF-8; mend or drop"
            " the row"
        ) from error
    return value


def class_name(value: object) -> str:
    """How a class is spelled, whichever file type it came through: 1, 1.0 and "1" are "1", True and "True" are "true";
    "" for none."""
    text = "" if value is None else str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    whole, point, zeros = text.partition(".")
    return whole if point and whole.lstrip("-").isdecimal() and not zeros.strip("0") else text


def label_of(row: Row, column: str = "label") -> str:
    """The class in a column; a probability is none."""
    value = row[column]
    name = class_name(value)
    if not name:
        raise DataError(
            f"column {column!r} holds no label; drop the row, or take labelled rows from elsewhere with #SPLIT or"
            " task.test_data"
        )
    if isinstance(value, list | dict) or _is_fraction(name):
        raise DataError(
            f"column {column!r} holds {name[:60]!r}; a gold label is one class, not a probability: round it, or name"
            " another column"
        )
    return name


def _is_fraction(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except ValueError:
        return False


def yes_no(row: Row, column: str) -> str:
    """A true-or-false column as class 1 or 0."""
    name = label_of(row, column)
    return {"false": "0", "true": "1"}.get(name, name)


def pick(draw: Draw, purpose: str, options: list[str]) -> str:
    """One of the options, each as likely as any other."""
    return options[int(draw(purpose) * len(options))]


def candidate(draw: Draw, right: str, wrong: list[str]) -> tuple[str, str]:
    """A candidate answer and whether it is right: a fair coin takes the right answer or one random wrong one."""
    if draw("coin") < 0.5:
        return right, "1"
    if not wrong:
        raise DataError(f"no wrong answer differs from the right one, {right!r}; mend or drop the row")
    return pick(draw, "distractor", wrong), "0"
