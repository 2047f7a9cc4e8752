"""The watch of a cluster's head. Ray ends a process whose head is gone after a minute, with words of its own; this says
it first, in ours."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import ray

from w2s_ray.core.errors import ResourceError

LOOK_S = 2.0
GONE_S = 40.0  # Ray waits 60 s for a head to come back, then ends the process


class HeadWatch:
    """Calls `lost` once, from a thread of its own, when the head has not answered for so long."""

    def __init__(self, lost: Callable[[ResourceError], None]) -> None:
        self.error: ResourceError | None = None
        self._lost, self._address = lost, ray.get_runtime_context().gcs_address
        self._over = threading.Event()
        threading.Thread(target=self._look, name="w2s-head", daemon=True).start()

    def close(self) -> None:
        self._over.set()

    def _look(self) -> None:
        answered = time.monotonic()
        while not self._over.wait(LOOK_S):
            if self._answers():
                answered = time.monotonic()
            elif time.monotonic() - answered > GONE_S:
                self.error = ResourceError(
                    f"the head of the Ray cluster at {self._address} has not answered for {GONE_S:.0f} s; start it"
                    " again, or take another cluster, and run the same command: it goes on from what is finished"
                )
                atexit.register(_end_at_once)
                self._lost(self.error)
                return

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_S).close()
        except OSError:
            return False
        return True


def _end_at_once() -> None:
    """Ray's own end would wait for the head until Ray ends the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
