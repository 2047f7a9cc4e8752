"""`Turns`: threads that find everything in the store go one after another; from the first result on that must be made,
all at once.

Threads hide waiting, and a study whose results are all there has nothing to wait for: its thousands of cells are faster
one by one, since Python computes one at a time anyway and threads that take turns by force cost as much as their work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Of any number of threads."""

    def __init__(self, *, at_once: bool = False) -> None:
        self._changed = threading.Condition()
        self._taken, self._at_once = False, at_once

    def all_at_once(self) -> None:
        """From now on nobody waits for a turn."""
        if not self._at_once:
            with self._changed:
                self._at_once = True
                self._changed.notify_all()

    @contextmanager
    def mine(self) -> Iterator[None]:
        """One thread at a time, as long as there are turns."""
        with self._changed:
            self._changed.wait_for(lambda: self._at_once or not self._taken)
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify()
