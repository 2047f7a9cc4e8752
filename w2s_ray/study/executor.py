"""Which executor computes: this process, a Ray of this machine, or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable

from w2s_ray.config.place import Place, joinable
from w2s_ray.engine.executor import Executor, InlineExecutor


def executor_of(
    place: Place, url: str, local: bool, verbose: bool, check: Callable[[], None] = lambda: None
) -> Callable[[], Executor]:
    """What makes the executor at the first step that the store does not have; `check` refuses what a Ray of this
    machine alone cannot hold."""
    if local:
        os.environ.update(place.variables(os.environ))
        return InlineExecutor
    address, env = joinable(place.address), place.variables(os.environ)

    def start() -> Executor:
        if address in (None, "local"):
            check()
        from w2s_ray.runtime.cluster import Target
        from w2s_ray.runtime.executor import RayExecutor

        return RayExecutor(url, Target(address, verbose, env, place.autoscale))

    return start
