"""`Watch`: with it a long computation reports that it is alive, and asks whether its machine is about to be taken away.
This one does nothing."""

from __future__ import annotations


class Watch:
    """Does nothing, for a computation in one process; `runtime/watch.py` has the one for the processes of a gang."""

    def beat(self) -> None:
        """Report progress. The next beat must come within the watch's limit."""

    def rest(self) -> None:
        """Suspend the limit: what follows may take any time."""

    def leaving(self) -> bool:
        """Whether this process must soon leave its machine. All processes of a computation must ask together."""
        return False
