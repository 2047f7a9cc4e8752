"""Rows of a local file: JSON lines, CSV or Parquet. All text is UTF-8; whatever is not as it should be is refused with
its line."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from w2s_ray.core.errors import DataError
from w2s_ray.core.plugins import closest
from w2s_ray.data.scheme import Asked, Rows, Scheme

Row = dict[str, object]

ONE_OBJECT = 'each line must hold one object, such as {"text": …, "label": …}'


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, name: str) -> None:
    """A file that is there and whose extension says how to read it."""
    if path.suffix not in READERS:
        allowed = ", ".join(READERS)
        raise DataError(
            f"{name}: unknown file type {path.suffix!r}{closest(path.suffix, READERS)}; it must be one of {allowed}:"
            " convert the file or rename it"
        )
    if path.is_dir():
        raise DataError(f"{name}: {path} is a folder; name one file in it, and the test file under task.test_data")
    if not path.is_file():
        there = [p.name for p in path.parent.glob("*") if p.suffix in READERS]
        raise DataError(
            f"{name}: there is no file {path}{closest(path.name, there)}; relative paths start at the folder of the"
            " study's YAML"
        )


def read_file(path: Path) -> Iterator[Row]:
    """The rows of a file, in its order."""
    return READERS[path.suffix](path)


def _lines(path: Path) -> Generator[str, None, None]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                # utf-8-sig, for the byte order mark that spreadsheets write
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                where = f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
                raise DataError(f"{path.name} line {number} is not UTF-8 ({where}); save the file as UTF-8") from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    with closing(_lines(path)) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _object(line, f"{path.name} line {number}")


def _object(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON ({error.msg} at column {error.colno}); {ONE_OBJECT}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} holds a {type(row).__name__}; {ONE_OBJECT}")
    return row


def _read_csv(path: Path) -> Iterator[Row]:
    with closing(_lines(path)) as lines:
        yield from _cells(path, lines)


def _cells(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header) or "" in header:
            raise DataError(f"{path.name} line 1 must name each column once; it has {header}")
        for cells in reader:
            if len(cells) != len(header) and cells:
                counts = f"{len(cells)} cells for {len(header)} columns"
                raise DataError(
                    f"{path.name} line {reader.line_num} has {counts}; quote cells that hold commas or line breaks"
                )
            if cells:
                yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path.name} line {reader.line_num} is not CSV ({error}); mend the line, or save the file as .jsonl or"
            " .parquet"
        ) from error


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(
            f"{path.name} is not a Parquet file that can be read ({_one_line(error)}); write it again"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} holds text that is not UTF-8 ({error.reason}); write it again as UTF-8"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _path(asked: Asked) -> Path:
    return asked.base / Path(asked.rest).expanduser()


def _identity(asked: Asked) -> str:
    check_file(_path(asked), f"{asked.key}: file:{asked.rest}")
    return f"sha256:{file_digest(_path(asked))}"


def _splits(asked: Asked) -> dict[str, Rows]:
    path = _path(asked)
    first = next(islice(read_file(path), 1), None)
    if first is None:
        raise DataError(f"{path.name} has no rows; check that it was written to the end")
    return {"train": Rows(path.name, tuple(first), lambda: read_file(path))}


SCHEME = Scheme(
    "file:PATH",
    f"a local file of type {', '.join(READERS)}; PATH starts at the folder of the study",
    _identity,
    _splits,
)
