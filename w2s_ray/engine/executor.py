"""Executors, which run calls. Every one passes the same conformance tests (tests/contract/test_executors.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from w2s_ray.engine.account import Account, cause_of, devices_of
from w2s_ray.engine.execute import execute, execute_many
from w2s_ray.engine.step import Call

Started = Callable[[], None]

GATHER_S = 0.05  # how long calls of one group wait for each other


class Executor(Protocol):
    """Runs calls. A future ends without an exception when the call's record is in the store, and with StepFailed,
    DamagedArtifact or Interrupted otherwise."""

    account: Account  # of its devices

    def launch(self, call: Call, started: Started) -> Future[None]:
        """Start a call, now or when its resources are free, and call `started` then. The future ends with ResourceError
        where they never can be."""

    def on_wait(self, tell: Callable[[str], None]) -> None:
        """From now on tell what the calls that wait for devices wait for, when it changes."""

    def close(self, now: bool = False) -> None:
        """Wait for running calls, or end them (`now`)."""


class InlineExecutor:
    """One call at a time, in a thread of the driver's process: for `--local`, tests and debugging, and for steps that
    hold no model."""

    def __init__(self) -> None:
        self.account = Account()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="w2s-inline")
        self._gathered: dict[Any, list[tuple[Call, Started, Future[None]]]] = {}
        self._lock = threading.Lock()

    def launch(self, call: Call, started: Started) -> Future[None]:
        call = replace(call, resources=call.resources.settled(0))
        if call.group is not None:
            return self._gather(call, started)

        def run() -> None:
            started()
            with self._counted([call]):
                execute(call)

        return self._pool.submit(run)

    @contextmanager
    def _counted(self, calls: Sequence[Call]) -> Iterator[list[BaseException | None]]:
        """One process computes these calls together; how each ended is put into the list."""
        errors: list[BaseException | None] = []
        work, devices = object(), devices_of(calls[0].resources, 1)
        self.account.resize(devices)
        self.account.begin(work, str(calls[0].key), devices)
        try:
            yield errors
            if (raised := [error for error in errors if error is not None]) and len(raised) == len(errors):
                self.account.lose(work, cause_of(raised[0]), str(raised[0]))
        except Exception as error:
            self.account.lose(work, cause_of(error), str(error))
            raise
        finally:
            self.account.end(work)
            self.account.resize({})

    def on_wait(self, tell: Callable[[str], None]) -> None:
        """One call at a time: there is nothing to tell."""

    def _gather(self, call: Call, started: Started) -> Future[None]:
        """Collect calls of one group for a moment, to compute them together."""
        future: Future[None] = Future()
        with self._lock:
            self._gathered.setdefault(call.group, []).append((call, started, future))
        self._pool.submit(self._run_group, call.group)
        return future

    def _run_group(self, group: Any) -> None:
        if self._gathered.get(group):
            time.sleep(GATHER_S)
        with self._lock:
            waiting = [
                (call, started, future)
                for call, started, future in self._gathered.pop(group, [])
                if future.set_running_or_notify_cancel()
            ]
        errors: list[BaseException | None]
        try:
            for _, started, _ in waiting:
                started()
            errors = []
            if calls := [call for call, _, _ in waiting]:
                with self._counted(calls) as errors:
                    errors += execute_many(calls)
        except BaseException as error:  # noqa: BLE001  (whatever it is, the futures must get it)
            errors = [error] * len(waiting)
        for (_, _, future), found in zip(waiting, errors, strict=True):
            future.set_exception(found) if found is not None else future.set_result(None)

    def close(self, now: bool = False) -> None:
        self._pool.shutdown(wait=not now, cancel_futures=now)
        if now:
            with self._lock:
                left = [future for entries in self._gathered.values() for _, _, future in entries]
            for future in left:
                future.cancel()
