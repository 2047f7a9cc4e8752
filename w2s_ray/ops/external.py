"""Weak labels that somebody else made, in a file: the teacher is then `models.weak: labels:file:PATH#COLUMN`, and to predict rows is to join them by id.

A column holds one of three: the probability of class 1 (numbers from 0 to 1, of which one is not whole), a list of K probabilities, or the name of a class. Nothing in it
abstains. Without `#COLUMN` it is `label`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.ids import as_ids
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.models import ModelRef
from w2s_ray.core.plugins import closest
from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON, Step

EXTERNAL = "labels:"  # of a model's name
ID, COLUMN = "id", "label"

JOINED = Step("external-labels", 1, "w2s_ray.ops.external:run", lambda params, inputs: str(params["column"])[:40], inline=True)


def is_external(model: ModelRef) -> bool:
    return model.name.startswith(EXTERNAL)


def identify_labels(name: str, base: Path) -> ModelRef:
    """The file counts by its bytes, wherever it lies."""
    from w2s_ray.data.files import check_file, file_digest

    place, _, column = name.removeprefix(EXTERNAL).partition("#")
    if not place.startswith("file:") or not place.removeprefix("file:"):
        raise ConfigError(f"models.weak: {name!r} does not name a file of labels; write {EXTERNAL}file:PATH#COLUMN")
    path = (base / Path(place.removeprefix("file:")).expanduser()).resolve()
    check_file(path, f"models.weak: {name}")
    return ModelRef(name, f"labels-{column or COLUMN}@{file_digest(path)}#{column or COLUMN}", str(path))


def params_of(model: ModelRef) -> tuple[JSON, JSON]:
    """Parameters and hints of the step that joins them."""
    digest, _, column = model.identity.partition("@")[2].partition("#")
    return {"file": digest, "column": column}, {"path": model.path}


def knows_any(model: ModelRef, ids: list[str]) -> bool:
    """Whether the file has a label for one of these rows."""
    return not set(ids).isdisjoint(said for said, _ in _cells(Path(model.path), params_of(model)[0]["column"]))


def run(work: Work) -> JSON:
    """The labels of the rows, by id."""
    data = Dataset.load(work.input("data").path)
    path, column = Path(str(work.hints["path"])), str(work.params["column"])
    said = dict(_cells(path, column))
    missing = [i for i in data.ids.tolist() if i not in said]
    if missing:
        raise DataError(
            f"{path.name} has labels for {len(data) - len(missing)} of {len(data)} {data.split} rows; id {missing[0]!r} has none: add them, or give a null label where one abstains"
        )
    labels_of(data, [said[i] for i in data.ids.tolist()], column).save(work.out)
    return {"rows": len(data)}


def _cell(value: Any) -> Any:
    """None for nothing; a number that a table of texts holds is a number."""
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, str) and "." in value:
        with suppress(ValueError):
            return float(value)
    return value


def labels_of(data: Dataset, cells: list[Any], column: str) -> LabelSet:
    """Cells as soft labels."""
    spoken = [cell for cell in cells if cell is not None]
    if spoken and all(isinstance(cell, (list, tuple)) for cell in spoken):
        return _from_lists(data, cells, column)
    if spoken and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in spoken) and any(cell != int(cell) for cell in spoken):
        if data.num_classes != 2:
            raise DataError(
                f"column {column!r} holds numbers between 0 and 1, which tell two classes apart; the rows have {data.num_classes}: give a list of probabilities a row"
            )
        return _from_lists(data, [None if cell is None else [1 - cell, cell] for cell in cells], column)
    return LabelSet.hard(data.ids, [-1 if cell is None else _class(cell, data, column) for cell in cells], data.num_classes, source="external")


def _from_lists(data: Dataset, cells: list[Any], column: str) -> LabelSet:
    wrong = next((cell for cell in cells if cell is not None and len(cell) != data.num_classes), None)
    if wrong is not None:
        raise DataError(
            f"column {column!r} holds a list of {len(wrong)} probabilities; the rows have {data.num_classes} classes, in the order {', '.join(data.classes)}"
        )
    uniform = [1 / data.num_classes] * data.num_classes
    probs_NK = np.array([uniform if cell is None else cell for cell in cells], dtype=np.float64)
    return LabelSet.of(data.ids, probs_NK, mask_N=[cell is not None for cell in cells], source="external")


def _class(cell: Any, data: Dataset, column: str) -> int:
    from w2s_ray.data.formats import class_name

    name = class_name(cell)
    if name not in data.classes:
        raise DataError(f"column {column!r} holds {cell!r}, which is no class of these rows{closest(name, data.classes)}; they are: {', '.join(data.classes)}")
    return data.classes.index(name)


def _cells(path: Path, column: str) -> Iterator[tuple[str, Any]]:
    """id -> what is said of it."""
    from w2s_ray.data.files import read_file

    seen: list[str] = []
    for number, row in enumerate(read_file(path), 1):
        for needed in (ID, column):
            if needed not in row:
                raise DataError(
                    f"{path.name} row {number} has no column {needed!r}{closest(needed, row)}; labels need {ID!r} and the column that #COLUMN names"
                )
        seen.append(str(row[ID]))
        yield seen[-1], _cell(row[column])
    as_ids(seen)  # refuses ids that stand twice
