"""`Watch`: how a long computation says that it is alive, and asks whether its machine is about to leave. This one
watches nothing."""

from __future__ import annotations


class Watch:
    """`runtime` has one that acts; a computation under plain Python needs none."""

    def beat(self) -> None:
        """Something was done. The next beat must come before the watch's limit."""

    def rest(self) -> None:
        """What follows may take any time."""

    def leaving(self) -> bool:
        """Whether a process must soon leave its machine. All processes of a computation ask together."""
        return False
