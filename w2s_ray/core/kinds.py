"""Kinds of rows, one object each: its columns, how a row is read, and what a model predicts for it.

The tokens and models of a kind are in `backends` (`batch/tokens.py`, `models/`); whatever else depends on the kind is
an attribute of these objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.plugins import closest

KindName = Literal["text", "pair", "preference", "choice", "generation"]
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Kind:
    """One kind of rows. A recipe's prompt is put around the columns in `prompted`."""

    name: KindName
    columns: tuple[str, ...]
    prompted: tuple[str, ...]
    by_words: bool = False  # answered by a language model's own head, not by a classification head
    generated: bool = False  # the answer is a text, so there are no classes
    placed: bool = False  # the classes are the positions of the row's candidates
    signed: bool = False  # swapping the texts flips the class: a row's vector is the difference of theirs
    offers: bool = False  # the row's texts are in random order, so labels in a file name the text itself
    stacked: bool = False  # several fits to such rows can be computed as one

    @property
    def one_vector(self) -> bool:
        """Whether a row has one vector: the candidates of a choice are read separately, so it has none."""
        return not self.placed

    @property
    def cut(self) -> int:
        """How many of the columns are cut when they are too long: a list of candidates is not."""
        return 1 if self.placed else len(self.columns)

    def num_sequences(self, num_classes: int) -> int:
        """How many sequences of tokens a row is read as."""
        return num_classes if self.placed else 2 if self.signed else 1

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], Kind], tuple[str]]:
        """A kind that travels to another process, or is copied, stays the one object of its name."""
        return kind_of, (self.name,)


TEXT = Kind("text", ("text",), ("text",), stacked=True)
# Read as one sequence of two segments.
PAIR = Kind("pair", ("first", "second"), ("first",), stacked=True)
# Which of two texts is better; each is read by itself.
PREFERENCE = Kind("preference", ("first", "second"), ("first", "second"), signed=True, offers=True)
# Which of several candidates (a JSON list of texts, as many in each row) follows the prompt.
CHOICE = Kind("choice", ("prompt", "choices"), ("prompt",), by_words=True, placed=True, offers=True)
# The answer itself.
GENERATION = Kind("generation", ("prompt",), ("prompt",), by_words=True, generated=True)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (TEXT, PAIR, PREFERENCE, CHOICE, GENERATION)}


def kind_of(name: str) -> Kind:
    """The kind of this name."""
    if name not in KINDS:
        raise DataError(f"{name!r} is not a kind of rows{closest(name, KINDS)}; there are: {', '.join(KINDS)}")
    return KINDS[name]


def texts_to_read(kind: Kind, inputs: Mapping[str, Texts]) -> Sequence[str]:
    """The texts of rows for language modelling, without labels: the prompt where there is one, both texts of a pair
    joined, else each text."""
    columns = [inputs[name] for name in (("prompt",) if "prompt" in inputs else kind.columns)]
    if kind is PAIR:
        return ["\n".join(row) for row in zip(*columns, strict=True)]
    return [str(text) for column in columns for text in column]
