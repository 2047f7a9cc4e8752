"""What there is to choose from, and what rows look like: for `w2s data` and `w2s data show`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.dataset import COLUMNS
from w2s_ray.core.plugins import available
from w2s_ray.data.formats import Format
from w2s_ray.data.parts import open_parts
from w2s_ray.data.prepare import GROUP, format_of
from w2s_ray.data.rows import Row, read_rows
from w2s_ray.data.sources import SCHEMES, Rows
from w2s_ray.data.world import TASKS


def describe() -> list[tuple[str, str, str]]:
    """(name, "source" or "format", one line) of all there is."""
    named = [(f"world:{name}", "source", task.line) for name, task in TASKS.items()]
    schemes = [(form, "source", line) for form, line in SCHEMES.values() if not form.startswith("world:")]
    return [*named, *schemes, *((name, "format", _line(fmt)) for name, fmt in available(GROUP).items())]


def _line(fmt: type[Format]) -> str:
    line = " ".join((fmt.__doc__ or "").split())
    return f"{line}; made for hub:{fmt.hub}" if fmt.hub else line


def show(task: TaskSpec | str, n: int, base: Path) -> list[dict[str, str]]:
    """The first `n` train rows as a model will see them, each with `id`, the inputs, `label` and its `source` if it has one. Checks no more than these rows."""
    spec = TaskSpec.model_validate({"data": task}) if isinstance(task, str) else task
    fmt = format_of(spec)
    train = open_parts(spec, fmt, base)["train"]
    first = Rows(train.rows.name, train.rows.columns, lambda: islice(train.rows.read(), n))
    rows, _ = read_rows(first, fmt, train.columns, spec.seed)
    return [_shown(row, fmt) for row in rows]


def _shown(row: Row, fmt: Format) -> dict[str, str]:
    source = {"source": row.source} if row.source else {}
    return {"id": row.id, **dict(zip(COLUMNS[fmt.kind], row.inputs, strict=True)), "label": row.label} | source
