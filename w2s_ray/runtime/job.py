"""`Job`: a call on its way through the Ray executor, or several that one process computes together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from w2s_ray.engine.executor import Started
from w2s_ray.engine.step import Call

if TYPE_CHECKING:
    from w2s_ray.runtime.slots import Slot

Errors = Sequence[BaseException | None] | BaseException  # one for each call, one for all, or none


@dataclass(eq=False)
class Job:
    """What is launched, waits for devices, runs and ends."""

    calls: list[Call]
    started: list[Started]
    futures: list[Future[None]]
    ref: Any = None
    slot: Slot | None = None  # the process that computes it, where that goes on to another one
    errors: Errors = ()  # of a gang or of members, which have no reference
    demand: dict[str, float] = field(default_factory=dict)  # what it is taken to hold
    lost: int = 0  # so many processes
    lost_at: float = -math.inf  # with a node
    recalled: bool = False  # from Ray, which has no node for it any more

    @property
    def call(self) -> Call:
        return self.calls[0]

    def begun(self) -> None:
        for started in self.started:
            started()

    def end(self, errors: Errors = ()) -> None:
        each = (
            [errors] * len(self.calls)
            if isinstance(errors, BaseException)
            else list(errors) or [None] * len(self.calls)
        )
        for future, error in zip(self.futures, each, strict=True):
            with suppress(InvalidStateError):  # somebody was faster
                future.set_result(None) if error is None else future.set_exception(error)


def together(jobs: Sequence[Job]) -> Job:
    """One job of the calls of several."""
    calls, started, futures = (
        [each for job in jobs for each in getattr(job, part)] for part in ("calls", "started", "futures")
    )
    return Job(calls, started, futures)


def dealt(jobs: Sequence[Job], places: int) -> list[Job]:
    """As many jobs of like size as there are places for them."""
    return [together(jobs[n::places]) for n in range(min(places, len(jobs)))]
