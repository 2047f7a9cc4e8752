"""From raw rows to rows: the user's column names, the format's question and label, and the keys that decide id and
split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.ids import content_id
from w2s_ray.core.plugins import closest
from w2s_ray.core.seeds import unit_hash
from w2s_ray.data.formats import Format, SharesPassages, text_of
from w2s_ray.data.scheme import RawRow, Rows

# Columns that every format understands beside its own. Methods see a row's source; its slice is for the scorer alone.
SHARED = ("id", "group", "slice", "source")

Columns = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row ready to be split. `unit` is what stays together: its group, or its content where it has none."""

    number: int
    id: str
    content: str
    unit: str
    inputs: tuple[str, ...]
    label: str
    slice: str
    source: str


def resolve_columns(fmt: Format, named: Mapping[str, str], rows: Rows) -> Columns:
    """The format's column -> the source's column(s). `named` is what the task says; an empty name switches a shared
    column off."""
    understood = (*fmt.columns, *SHARED)
    for column in named:
        if column not in understood:
            raise ConfigError(
                f"task.columns: the format has no column {column!r}{closest(column, understood)}; it reads:"
                f" {', '.join(understood)}"
            )
    wanted = {column: named.get(column, column) for column in fmt.columns}
    default_group = wanted[fmt.group] if fmt.group else ""
    wanted |= {column: named.get(column, default_group if column == "group" else "") for column in SHARED}
    return {column: _find(column, name, rows) for column, name in wanted.items() if name or column not in SHARED}


def _find(column: str, name: str, rows: Rows) -> str | tuple[str, ...]:
    if name in rows.columns:
        return name
    parts = tuple(part.strip() for part in name.split(","))
    missing = [part for part in parts if part not in rows.columns]
    if missing:
        there = ", ".join(rows.columns)
        raise ConfigError(
            f"task.columns: {column!r} is to be read from {missing[0]!r}, which is not a column of"
            f" {rows.name}{closest(missing[0], rows.columns)}; it has: {there}; write columns: {{{column}:"
            " ONE_OF_THEM}"
        )
    return parts


def read_rows(rows: Rows, fmt: Format, columns: Columns, seed: int) -> tuple[list[Row], int]:
    """All rows of a split, and how many had nothing to ask."""
    found: list[Row] = []
    skipped = 0
    for number, raw in enumerate(rows.read(), 1):
        try:
            row = _row(number, raw, fmt, columns, seed)
        except DataError as error:
            raise DataError(f"{rows.name} row {number}: {error}") from error
        if row is None:
            skipped += 1
        else:
            found.append(row)
    return found, skipped


def _row(number: int, raw: RawRow, fmt: Format, columns: Columns, seed: int) -> Row | None:
    cells = {column: _cell(raw, name) for column, name in columns.items()}
    content = content_id(*fmt.content(cells))
    example = fmt.example(cells, partial(unit_hash, seed, "format", content))
    if example is None:
        return None
    shared = {column: name_of(cells, column) for column in SHARED if column in cells}
    if isinstance(fmt, SharesPassages) and fmt.group and columns.get("group") == columns[fmt.group]:
        shared["group"] = fmt.passage(cells)
    unit = f"group {content_id(shared['group'])}" if "group" in shared else f"row {content}"
    return Row(
        number,
        shared.get("id", content),
        content,
        unit,
        example.inputs,
        example.label,
        shared.get("slice", ""),
        shared.get("source", ""),
    )


def _cell(raw: RawRow, name: str | tuple[str, ...]) -> object:
    if isinstance(name, tuple):
        return [_cell(raw, part) for part in name]
    if name not in raw:
        raise DataError(f"has no column {name!r}{closest(name, raw)}; mend or drop the row")
    return raw[name]


def name_of(cells: Mapping[str, object], column: str) -> str:
    """A shared column as text; 7.0, which is how a table with gaps stores 7, is "7"."""
    value = cells[column]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    name = "" if value is None else str(value).strip()
    if not name or name == "nan":
        raise DataError(f"its {column} is empty; give every row one, or leave {column!r} out of task.columns")
    return text_of({column: name}, column)
