"""Files of strangers, read with suspicion: plain JSON of a limited size and columns of Arrow files; no pickle, no code.

What is wrong with one file is a `DataError` in a few words, which the importer tells beside the file's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from w2s_ray.core.errors import DataError, InputError
from w2s_ray.core.labels import LabelSet

MOST_BYTES = 4_000_000  # of a JSON file; theirs have a few thousand
MOST_FOLDERS = 50_000
NAME_LETTERS = 200
SENTENCE_LETTERS = 1000
SKIPPED = ("weak_labels", "predictions", "activations", "best-ckpt", "checkpoint-")  # folders without results

Model = TypeVar("Model", bound=BaseModel)
Found = TypeVar("Found")


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return name


Name = Annotated[str, Field(min_length=1, max_length=NAME_LETTERS), AfterValidator(_printable)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[int | float, Field(ge=-(10**15), le=10**15)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]
Flat = Annotated[dict[Name, bool | Number | Name | None], Field(max_length=40)]


class Read(BaseModel):
    """A JSON object of theirs: known keys are checked, further ones left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


@dataclass
class Folder:
    """What was found below the folder that a user named, and what was odd."""

    root: Path
    told: list[str] = field(default_factory=list)
    _closed: set[str] = field(default_factory=set)  # folders that could not be read: every reader walks, and one tells

    def tell(self, path: Path, what: object) -> None:
        """A sentence about a file."""
        self.told.append(f"{self.name(path)}: {printed(str(what), SENTENCE_LETTERS)}")

    def name(self, path: Path) -> str:
        """Of a path below the root, for people."""
        relative = path.relative_to(self.root).as_posix()
        return printed(self.root.name if relative == "." else relative)

    def attempt(self, path: Path, read: Callable[[Path], Found]) -> Found | None:
        """What `read` makes of a file; where it cannot, that is told."""
        try:
            return read(path)
        except DataError as error:
            self.tell(path, error)
            return None

    def walk(self) -> Iterator[tuple[Path, list[str]]]:
        """Every folder that may hold results, in order, with the names of its files; those that cannot be read are
        told."""
        for seen, (here, inner, files) in enumerate(os.walk(self.root, onerror=self._tell_closed)):
            inner[:] = sorted(name for name in inner if not name.startswith(SKIPPED))
            if seen == MOST_FOLDERS:
                raise InputError(f"{self.root} holds more than {MOST_FOLDERS} folders; name the one with the results")
            yield Path(here), sorted(files)

    def _tell_closed(self, error: OSError) -> None:
        path = str(error.filename or self.root)
        if path not in self._closed:
            self._closed.add(path)
            self.tell(Path(path), f"the folder cannot be read ({error.strerror}); what is in it is left out")


def printed(text: str, most: int = NAME_LETTERS) -> str:
    """On one line, and not too long a one."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 :]}"


def read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file."""
    if not path.is_file():  # also of a pipe, whose reader would wait for ever
        raise DataError("is not there" if not path.exists() else "is not a file")
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"is larger than {MOST_BYTES} bytes, which no results file is")
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError("is not JSON") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from None
    if not isinstance(found, dict):
        raise DataError("holds no JSON object")
    return found


def checked(model: type[Model], raw: Mapping[str, Any]) -> Model:
    """An object as one of theirs; the first thing that is wrong is said."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        given = f" (got {str(fault['input'])[:40]})" if not isinstance(fault["input"], dict) else ""
        raise DataError(f"{place}: {fault['msg']}{given}") from None
    except RecursionError:
        raise DataError("is nested too deeply") from None


def read_as(model: type[Model]) -> Callable[[Path], Model]:
    """A reader of files that hold one of these."""
    return lambda path: checked(model, read_object(path))


@dataclass(frozen=True)
class Columns:
    """Where a saved dataset has a row's gold label and its weak one (two probabilities, or that of class 1)."""

    gold: str
    weak: str


def read_labels(folder: Path, columns: Columns) -> tuple[LabelSet, LabelSet]:
    """Weak labels and gold of a folder that `datasets` saved, in the order of its rows."""
    import numpy as np

    table = _arrow(folder, [columns.gold, columns.weak])
    try:
        gold_N = np.asarray(table[columns.gold].to_pylist(), dtype=np.int64)
        weak = np.asarray(table[columns.weak].to_pylist(), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"{columns.gold} and {columns.weak} hold no labels and probabilities") from None
    ids = [str(row) for row in range(len(gold_N))]
    probs_NK = weak if weak.ndim == 2 else np.stack([1 - weak, weak], axis=1)
    return LabelSet.of(ids, probs_NK, source="imported"), LabelSet.hard(ids, gold_N, 2, source="imported")


def _arrow(folder: Path, columns: list[str]) -> Any:
    """These columns of all its files (`cache-….arrow` beside them are none of the dataset)."""
    import pyarrow as pa

    paths = sorted(folder.glob("data-*.arrow")) or sorted(folder.glob("dataset.arrow"))
    if not paths:
        raise DataError("holds no data-….arrow")
    tables = []
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path.name[:NAME_LETTERS]} is not a file")
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
                table = reader.read_all().select(columns)
            table.validate(full=True)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DataError(f"holds no rows with {' and '.join(columns)} ({type(error).__name__})") from None
        tables.append(table)
    try:
        rows = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"its files have {' and '.join(columns)} of different types ({type(error).__name__})") from None
    if not len(rows):
        raise DataError("holds no rows")
    return rows
