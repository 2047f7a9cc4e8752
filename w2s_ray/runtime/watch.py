"""The watches of processes on a cluster: a machine that is about to leave is known of, and a gang's step that hangs
ends in a bounded time with every thread's stack noted."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

import ray
import ray.train

from w2s_ray.core.watch import Watch
from w2s_ray.runtime.cluster import draining_nodes

LOOK_S = 0.5
NOTICE_S = 3.0  # between looks whether a machine leaves; clouds give notice of 30 s and more
GRACE_S = 3.0  # for the others to note their stacks: the first process that ends takes all with it


class NodeWatch(Watch):
    """Of a process on its own: whether its machine has announced its leave."""

    def __init__(self) -> None:
        self._looked, self._leaving = time.monotonic(), False

    def leaving(self) -> bool:
        now = time.monotonic()
        if not self._leaving and now - self._looked > NOTICE_S:
            self._looked, self._leaving = now, node_leaves()
        return self._leaving


def node_leaves() -> bool:
    """Whether this machine will be taken away."""
    return ray.get_runtime_context().get_node_id() in draining_nodes()


class GangWatch(Watch):
    """Ends its process when a beat is late. Ray Train then starts the gang again, which goes on from its checkpoint."""

    def __init__(self, limit_s: float, note: Callable[[str], None]) -> None:
        self._limit_s, self._note = limit_s, note
        self._due = float("inf")
        self._watched = threading.get_ident()
        threading.Thread(target=self._look, name="w2s-watch", daemon=True).start()

    def beat(self) -> None:
        self._due = time.monotonic() + self._limit_s

    def rest(self) -> None:
        self._due = float("inf")

    def leaving(self) -> bool:
        return ray.train.get_preemption_info() is not None

    def _look(self) -> None:
        while time.monotonic() < self._due:
            time.sleep(LOOK_S)
        stack = f"no step ended in {self._limit_s:g} s; the process was here:\n{self._stack()}"
        threading.Thread(target=self._note, args=(stack,), daemon=True).start()  # the store may be what hangs
        time.sleep(GRACE_S)
        os._exit(1)

    def _stack(self) -> str:
        """Of the thread that should have given a sign."""
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame)) if frame else "(the thread has ended)"
