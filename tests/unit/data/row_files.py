"""Small files of rows, and what `prepare` makes of them, for the tests of the splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from w2s_ray.config.task import TaskSpec
from w2s_ray.data.prepare import Prepared, prepare

Rows = list[dict[str, Any]]


def rows_of(n: int, start: int = 0) -> Rows:
    return [
        {"text": f"row number {i}", "label": (i * 7) % 3 % 2, "who": f"author {i // 4}", "key": f"k{i}"}
        for i in range(start, start + n)
    ]


def write(folder: Path, rows: Rows, name: str = "rows.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file:{name}"


def made(
    folder: Path, rows: Rows, test_rows: Rows | None = None, pool_rows: Rows | None = None, **spec: Any
) -> Prepared:
    """The rows of files for each part."""
    if test_rows is not None:
        spec["test_data"] = write(folder, test_rows, "test.jsonl")
    if pool_rows is not None:
        spec["pool_data"] = write(folder, pool_rows, "pool.jsonl")
    return prepare(TaskSpec(data=write(folder, rows), **spec), folder)


def places(prepared: Prepared, column: str = "text") -> dict[str, str]:
    """text -> split."""
    return {text: name for name, rows in prepared.splits.items() for text in rows.inputs[column]}


def digests(prepared: Prepared) -> dict[str, str]:
    return {name: rows.digest for name, rows in prepared.splits.items()}
