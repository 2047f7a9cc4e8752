"""Processes that keep their GPUs from one step to the next, so that a small fit pays neither imports nor CUDA's start.

Ray reuses the processes of its tasks too, but may give them other GPUs under a CUDA that was initialised with the old
ones. An actor's devices never change. One that leaves memory behind, or whose step raised, is replaced; one without
work is given up soon, for another driver or an autoscaler may want its devices.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from w2s_ray.backends.devices.left import is_clean
from w2s_ray.core.resources import Resources
from w2s_ray.engine.execute import execute_dealt
from w2s_ray.engine.step import Call
from w2s_ray.runtime.demand import demand, options
from w2s_ray.runtime.output import captured
from w2s_ray.runtime.watch import NodeWatch, node_leaves

IDLE_S = 10.0  # without work


@dataclass(eq=False)
class Slot:
    """One such process."""

    resources: Resources
    process: Any
    since: float = field(default_factory=time.monotonic)  # without work

    def run(self, call: Call) -> Any:
        """A reference to whether another one may follow it."""
        return self.process.run.options(name=str(call.key)).remote(call)

    def end(self) -> None:
        ray.kill(self.process)


class Slots:
    """Those without work. In the thread that owns Ray."""

    def __init__(self) -> None:
        self._idle: list[Slot] = []

    def take(self, resources: Resources, scheduling: str | None) -> Slot:
        """One that holds just this, or a new one."""
        for slot in self._idle:
            if slot.resources == resources:
                self._idle.remove(slot)
                return slot
        how = {name: value for name, value in options(resources).items() if name != "max_retries"}
        if scheduling is not None:
            how["scheduling_strategy"] = scheduling
        return Slot(resources, _remote.options(**how).remote())

    def give(self, slot: Slot, ref: Any) -> None:
        """Its step has ended."""
        try:
            clean = bool(ray.get(ref))
        except RayError:
            clean = False
        if clean:
            slot.since = time.monotonic()
            self._idle.append(slot)
        else:
            slot.end()

    def make_room(self, free: Mapping[str, float]) -> None:
        """End those that were without work for longest, until what the others hold is really free."""
        while any(amount > free.get(name, 0.0) + 1e-9 for name, amount in self._held().items()):
            self._idle.pop(0).end()

    def end_idle(self, longest_s: float = IDLE_S) -> None:
        instant = time.monotonic()
        for slot in [slot for slot in self._idle if instant - slot.since >= longest_s]:
            self._idle.remove(slot)
            slot.end()

    def _held(self) -> dict[str, float]:
        held: dict[str, float] = {}
        for slot in self._idle:
            for name, amount in demand(slot.resources, 1).items():
                held[name] = held.get(name, 0.0) + amount
        return held


class _Process:
    """In the process."""

    def run(self, call: Call) -> bool:
        """Execute a call; whether another one may follow."""
        with captured() as tail:
            (error,) = execute_dealt([call], tail, NodeWatch())
        if error is not None:
            raise error
        return is_clean() and not node_leaves()


_remote: Any = ray.remote(max_restarts=0)(_Process)
