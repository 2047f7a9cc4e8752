"""Where calls run. Every executor passes the same conformance tests (tests/contract/test_executors.py)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from w2s_ray.engine.execute import execute
from w2s_ray.engine.step import Call

Started = Callable[[], None]


class Executor(Protocol):
    """Runs calls. A future ends without an exception when the call's record is in the store, and with StepFailed, DamagedArtifact or Interrupted otherwise."""

    def launch(self, call: Call, started: Started) -> Future[None]:
        """Start a call, now or when its resources are free, and say when; ResourceError when they never can be."""

    def close(self, now: bool = False) -> None:
        """Wait for what runs, or stop it."""


class InlineExecutor:
    """One call at a time, in a thread of the driver's process: for `--local`, tests and debugging, and for steps that hold no model."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="w2s-inline")

    def launch(self, call: Call, started: Started) -> Future[None]:
        def run() -> None:
            started()
            execute(call)

        return self._pool.submit(run)

    def close(self, now: bool = False) -> None:
        self._pool.shutdown(wait=not now, cancel_futures=now)
