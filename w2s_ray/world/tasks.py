"""The tasks of the built-in world by name: `TASK`, or with knobs `TASK?overlap=0.1&hard=0.5`."""

from __future__ import annotations

from typing import Any

from w2s_ray.config.load import checked, parse_value
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.plugins import closest
from w2s_ray.world import classification, domains, preferences, questions, votes
from w2s_ray.world.task import WorldTask

TASKS: dict[str, WorldTask] = {
    **classification.TASKS,
    **domains.TASKS,
    **questions.TASKS,
    **preferences.TASKS,
    **votes.TASKS,
}


def find_task(name: str, key: str) -> tuple[WorldTask, Frozen]:
    """The task of a name, and its knobs turned as the name says."""
    task_name, _, settings = name.partition("?")
    if task_name not in TASKS:
        there = [f"world:{task}" for task in TASKS]
        raise ConfigError(
            f"{key}: there is no {f'world:{task_name}'!r}{closest(f'world:{task_name}', there)}; there are:"
            f" {', '.join(there)}"
        )
    task = TASKS[task_name]
    turned: dict[str, Any] = {}
    for setting in filter(None, settings.split("&")):
        knob, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(
                f"{key}: 'world:{name}' has {setting!r} where a knob belongs; write world:{task_name}?{setting}=VALUE"
            )
        if knob in turned:
            raise ConfigError(f"{key}: 'world:{name}' turns {knob!r} twice; say it once")
        try:
            turned[knob] = parse_value(value)
        except ConfigError as error:
            raise ConfigError(f"{key}: the knob {knob!r} of 'world:{name}': {error}") from None
    return task, checked(type(task.knobs), task.knobs.model_dump() | turned, where=f" (in {key}: world:{name})")
