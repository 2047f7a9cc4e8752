"""Weak labels that somebody else made, in a file: the teacher is then `models.weak: labels:file:PATH#COLUMN`, and to
predict rows is to join them by id.

A column holds one of three: the probability of class 1 (numbers from 0 to 1, of which one is not whole), a list of K
probabilities, or the name of a class. Nothing in it abstains. Without `#COLUMN` it is `label`. The texts of a
preference and the candidates of a choice stand in an order that is drawn when the rows are prepared, so there a label
names the text that it holds to be better, or gives the probability of each text. Of a generation a label is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.core.answers import Answers, normal
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import as_ids
from w2s_ray.core.labels import SUM_TOLERANCE, LabelSet
from w2s_ray.core.plugins import closest
from w2s_ray.data.files import read_file
from w2s_ray.data.formats import class_name
from w2s_ray.data.rows import name_of

EXTERNAL = "labels:"  # of a model's name
ID, COLUMN = "id", "label"


def labels_of(data: Dataset, cells: list[Any], column: str) -> LabelSet | Answers:
    """Cells as labels. Nothing is None; numbers may be spelled out, as a table of texts has them."""
    if data.kind.generated:
        return Answers.of(data.ids, ["" if cell is None else str(cell) for cell in cells], source="external")
    if data.kind.offers:
        return _from_lists(data, _by_text(data, cells, column), column)
    if any(isinstance(cell, (list, tuple)) for cell in cells):
        return _from_lists(data, cells, column)
    numbers = [_number(cell) for cell in cells]
    whole = all(number is None or number == round(number) for number in numbers)
    if whole or any(number is None and cell is not None for number, cell in zip(numbers, cells, strict=True)):
        classes = [-1 if cell is None else _class(cell, data, column) for cell in cells]
        return LabelSet.hard(data.ids, classes, data.num_classes, source="external")
    if data.num_classes != 2:
        raise DataError(
            f"column {column!r} holds numbers between 0 and 1, which tell two classes apart; the rows have"
            f" {data.num_classes}: give a list of probabilities a row"
        )
    return _from_lists(data, [None if number is None else [1 - number, number] for number in numbers], column)


def _by_text(data: Dataset, cells: list[Any], column: str) -> list[list[float] | None]:
    """The probability of each text of a row, in the order in which they stand."""
    offered = (
        data.candidates if data.kind.placed else list(zip(data.inputs["first"], data.inputs["second"], strict=True))
    )
    found: list[list[float] | None] = []
    for cell, options in zip(cells, offered, strict=True):
        texts = [normal(option) for option in options]
        stated = None if cell is None else _said_of_texts(cell, texts)
        if cell is not None and stated is None:
            raise DataError(
                f"column {column!r} holds {str(cell)[:60]!r}, which names none of the row's texts"
                f" ({', '.join(repr(text[:30]) for text in texts)}), which stand in an order that is drawn; a label of"
                f" a {data.kind} is the better text itself, or {{text: probability}} with all of them"
            )
        found.append(None if stated is None else [stated[text] for text in texts])
    return found


def _said_of_texts(cell: Any, texts: list[str]) -> dict[str, float] | None:
    if isinstance(cell, str) and normal(cell) in texts:
        return {text: float(text == normal(cell)) for text in texts}
    if isinstance(cell, str):
        with suppress(ValueError):
            cell = json.loads(cell)
    if not isinstance(cell, dict):
        return None
    stated = {
        normal(text): _number(value) for text, value in cell.items() if value is not None
    }  # Parquet gives every row the keys of all
    known = {text: number for text, number in stated.items() if number is not None and number >= 0}
    return known if set(known) == set(stated) == set(texts) and abs(sum(known.values()) - 1) <= SUM_TOLERANCE else None


def _from_lists(data: Dataset, cells: list[Any], column: str) -> LabelSet:
    rows = [None if cell is None else _distribution(cell, data, column) for cell in cells]
    uniform = [1 / data.num_classes] * data.num_classes
    probs_NK = np.array([uniform if row is None else row for row in rows], dtype=np.float64)
    return LabelSet.of(data.ids, probs_NK, mask_N=[row is not None for row in rows], source="external")


def _distribution(cell: Any, data: Dataset, column: str) -> list[float]:
    parts = [_number(part) for part in cell] if isinstance(cell, (list, tuple)) else [None]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or min(known) < 0 or abs(sum(known) - 1) > SUM_TOLERANCE:
        shown = str(cell)[:60]
        raise DataError(
            f"column {column!r} holds {shown}, which are no probabilities; they must be at least 0 and sum to 1, or one"
            f" number from 0 to 1 for class {data.classes[-1]!r}"
        )
    if len(known) != data.num_classes:
        raise DataError(
            f"column {column!r} holds a list of {len(known)} probabilities; the rows have {data.num_classes} classes,"
            f" in the order {', '.join(data.classes)}"
        )
    return known


def _number(cell: Any) -> float | None:
    """A finite number, also one that is spelled out."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    with suppress(ValueError):
        return float(cell) if isfinite(float(cell)) else None
    return None


def _class(cell: Any, data: Dataset, column: str) -> int:
    name = class_name(cell)
    if name not in data.classes:
        raise DataError(
            f"column {column!r} holds {cell!r}, which is no class of these rows{closest(name, data.classes)}; they are:"
            f" {', '.join(data.classes)}"
        )
    return data.classes.index(name)


def read_labels(path: Path, column: str) -> Iterator[tuple[str, Any]]:
    """id -> what is stated of it, None for nothing."""
    seen: list[str] = []
    for number, row in enumerate(read_file(path), 1):
        for needed in (ID, column):
            if needed not in row:
                raise DataError(
                    f"{path.name} row {number} has no column {needed!r}{closest(needed, row)}; labels need {ID!r} and"
                    " the column that #COLUMN names"
                )
        seen.append(name_of(row, ID))
        value = row[column]
        yield (
            seen[-1],
            None if value is None or value == "" or (isinstance(value, float) and np.isnan(value)) else value,
        )
    as_ids(seen)  # refuses ids that stand twice
