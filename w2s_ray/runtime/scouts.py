"""How an autoscaler learns early what will be needed: of what waits here, a task that does nothing goes ahead to Ray.

It ends as soon as a machine could hold it, and with its driver; a request of Ray's own (`request_resources`) would
outlive a killed driver, and its machines be paid for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import ray

from w2s_ray.core.resources import Resources
from w2s_ray.runtime.demand import options

MOST = 256  # that wait in Ray at once


class Scouts:
    """In the thread that owns Ray."""

    def __init__(self) -> None:
        self._out: list[tuple[Resources, Any]] = []

    def send(self, waiting: Iterable[Resources]) -> None:
        """So that one is out for each process of what waits, and none for what waits no more."""
        wanted: Counter[Resources] = Counter()
        for resources in waiting:
            if wanted.total() < MOST:
                wanted[resources] += resources.fewest
        ended, _ = (
            ray.wait([ref for _, ref in self._out], num_returns=len(self._out), timeout=0)
            if self._out
            else (
                [],
                [],
            )
        )
        still = [(resources, ref) for resources, ref in self._out if ref not in ended]
        self._out = []
        for resources, ref in still:
            if wanted[resources] > 0:
                wanted[resources] -= 1
                self._out.append((resources, ref))
            else:
                ray.cancel(ref)
        for resources, count in wanted.items():
            how = options(resources) | {"max_retries": 0, "name": "w2s: for the autoscaler"}
            self._out += [(resources, _nothing.options(**how).remote()) for _ in range(count)]

    def call_back(self) -> None:
        self.send(())


@ray.remote
def _nothing() -> None:
    """It only asks for room."""
