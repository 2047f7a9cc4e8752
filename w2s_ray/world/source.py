"""The built-in world as a source of rows: `world:TASK`, or with knobs `world:TASK?overlap=0.1&hard=0.5`."""

from __future__ import annotations

from collections.abc import Mapping

from w2s_ray.data.scheme import Asked, Rows, Scheme
from w2s_ray.world.task import VERSION
from w2s_ray.world.tasks import TASKS, find_task


def _identity(asked: Asked) -> str:
    _, knobs = find_task(asked.rest, asked.key)
    return f"world:{asked.rest.partition('?')[0]}@{VERSION} {knobs.model_dump_json()}"


def _splits(asked: Asked) -> dict[str, Rows]:
    task, knobs = find_task(asked.rest, asked.key)
    name = f"world:{asked.rest}"
    return {"train": Rows(name, task.columns, lambda: task.rows(knobs, asked.num_rows, asked.seed))}


def _columns(asked: Asked) -> Mapping[str, str]:
    return find_task(asked.rest, asked.key)[0].named


def _format(asked: Asked) -> str:
    return find_task(asked.rest, asked.key)[0].format


SCHEME = Scheme(
    "world:TASK[?KNOB=VALUE&…]",
    f"rows made here, none to download; TASK is one of {', '.join(TASKS)}",
    _identity,
    _splits,
    _columns,
    _format,
    lambda: [(f"world:{name}", task.line) for name, task in TASKS.items()],
)
