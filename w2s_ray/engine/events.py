"""One thread that does one thing after another: events in the order in which they were posted, and timers when they are
due."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

Event = Callable[[], None]


class Events:
    """The thread, its queue and its timers. What an event raises is given to `broken`, since nobody else would hear of
    it."""

    def __init__(self, name: str, broken: Callable[[BaseException], None]) -> None:
        self._broken = broken
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()  # None is the last one
        self._timers: list[tuple[float, Event]] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, event: Event) -> None:
        """Any thread."""
        self._queue.put(event)

    def later(self, delay_s: float, event: Event) -> None:
        """The events' own thread alone."""
        self._timers.append((time.monotonic() + delay_s, event))

    def close(self) -> None:
        """After what was posted before; timers that are not due are forgotten."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            due: list[Event | None] = [event for at, event in self._timers if at <= now]
            self._timers = [(at, event) for at, event in self._timers if at > now]
            wait = min((at - now for at, _ in self._timers), default=None)
            try:
                due.append(self._queue.get(timeout=0 if due else wait))
            except queue.Empty:
                pass
            for event in due:
                if event is None:
                    return
                try:
                    event()
                # those who wait must hear of it, and the thread must not end before them
                except BaseException as error:  # noqa: BLE001
                    self._broken(error)
