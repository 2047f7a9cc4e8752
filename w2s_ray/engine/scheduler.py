"""One thread that does one thing after another: tasks in the order in which they were posted, and timers when they are
due."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

Task = Callable[[], None]


class Scheduler:
    """The thread, its queue and its timers. What a task raises is given to `broken`, since nobody else would hear of
    it."""

    def __init__(self, name: str, broken: Callable[[BaseException], None]) -> None:
        self._broken = broken
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()  # None is the last one
        self._timers: list[tuple[float, Task]] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, task: Task) -> None:
        """Any thread."""
        self._queue.put(task)

    def later(self, delay_s: float, task: Task) -> None:
        """The scheduler's own thread alone."""
        self._timers.append((time.monotonic() + delay_s, task))

    def close(self) -> None:
        """After what was posted before; timers that are not due are forgotten."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            due: list[Task | None] = [task for at, task in self._timers if at <= now]
            self._timers = [(at, task) for at, task in self._timers if at > now]
            wait = min((at - now for at, _ in self._timers), default=None)
            try:
                due.append(self._queue.get(timeout=0 if due else wait))
            except queue.Empty:
                pass
            for task in due:
                if task is None:
                    return
                try:
                    task()
                # those who wait must hear of it, and the thread must not end before them
                except BaseException as error:  # noqa: BLE001
                    self._broken(error)
