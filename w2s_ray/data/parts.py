"""The parts of a task's rows: the train rows, which are cut into splits, and the test and pool rows where they stand
apart from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.seeds import derive_seed
from w2s_ray.data.formats import Format, train_split
from w2s_ray.data.rows import Columns, resolve_columns
from w2s_ray.data.scheme import Rows, Source
from w2s_ray.data.sources import open_source
from w2s_ray.data.splits import rows_needed

# What the task calls the source of each part.
KEYS = {"train": "data", "test": "test_data", "pool": "pool_data"}


@dataclass(frozen=True)
class Part:
    """The raw rows of one part and how to read them."""

    source: Source
    rows: Rows
    columns: Columns


def open_parts(spec: TaskSpec, fmt: Format, base: Path) -> dict[str, Part]:
    """`train`; `test` where the task names test rows or the source has a split of them; `pool` where the task names
    pool rows."""
    named = {name for name, data in (("test", spec.test_data), ("pool", spec.pool_data)) if data is not None}
    source = open_source(spec.data, base, num_rows=rows_needed(spec, named), seed=spec.seed)
    train = _pick_split(source, (train_split(fmt), "train"), "task.data")
    parts = {"train": _part(source, train, fmt, spec)}
    if spec.test_data is not None:
        parts["test"] = _open_apart("test", spec.test_data, spec.test, (fmt.test_split, "test"), fmt, spec, base)
    elif fmt.test_split in source.splits and fmt.test_split != train:
        parts["test"] = _part(source, fmt.test_split, fmt, spec)
    if spec.pool_data is not None:
        parts["pool"] = _open_apart("pool", spec.pool_data, spec.pool, (train_split(fmt), "train"), fmt, spec, base)
    check_sources(parts.values())
    return parts


def _open_apart(
    name: str, data: str, cap: int | None, wanted: Sequence[str], fmt: Format, spec: TaskSpec, base: Path
) -> Part:
    key = f"task.{KEYS[name]}"
    # Generated rows come from a stream of their own, else they would be the train rows.
    source = open_source(data, base, key=key, num_rows=cap or 10_000, seed=derive_seed(spec.seed, f"{name} rows"))
    return _part(source, _pick_split(source, wanted, key), fmt, spec)


def _pick_split(source: Source, wanted: Sequence[str], key: str) -> str:
    for name in wanted:
        if name in source.splits:
            return name
    if len(source.splits) == 1:
        return next(iter(source.splits))
    raise ConfigError(
        f"{key}: {source.name} has no split {wanted[0]!r}; it has {', '.join(source.splits)}: name one with #SPLIT at"
        " the end"
    )


def _part(source: Source, split: str, fmt: Format, spec: TaskSpec) -> Part:
    rows = source.splits[split]
    return Part(source, rows, resolve_columns(fmt, {**source.columns, **spec.columns}, rows))


def check_sources(parts: Iterable[Part]) -> None:
    """All parts tell where their rows come from, or none does: a method that weighs sources would find them in one
    split and miss them in the next."""
    told: dict[bool, Part] = {}
    for part in parts:
        told.setdefault("source" in part.columns, part)
    if len(told) == 2:
        raise DataError(
            f"the rows of {told[True].rows.name} have a source and those of {told[False].rows.name} have none; "
            f'name a column that both have with task.columns: {{source: COLUMN}}, or do without in both: {{source: ""}}'
        )
