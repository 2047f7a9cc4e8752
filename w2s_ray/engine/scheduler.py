"""A thread that runs one task at a time: tasks in the order in which they were posted, and timers when they are due."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

Task = Callable[[], None]


class Scheduler:
    """The thread, its queue and its timers. A task's error is passed to `broken`, since it has no caller that would see
    it."""

    def __init__(self, name: str, broken: Callable[[BaseException], None]) -> None:
        self._broken = broken
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()  # None ends the thread
        self._timers: list[tuple[float, Task]] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, task: Task) -> None:
        """Run a task in the scheduler's thread. From any thread."""
        self._queue.put(task)

    def later(self, delay_s: float, task: Task) -> None:
        """Run a task after a delay. From the scheduler's own thread alone."""
        self._timers.append((time.monotonic() + delay_s, task))

    def close(self) -> None:
        """End the thread after what was posted before; timers that are not due are dropped."""
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
                # whoever waits must get the error, and the thread must outlive them
                except BaseException as error:  # noqa: BLE001
                    self._broken(error)
