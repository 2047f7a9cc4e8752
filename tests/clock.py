"""Time that is set."""

from __future__ import annotations


class Clock:
    """In the place of the module `time`, as far as it tells how long something took."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now
