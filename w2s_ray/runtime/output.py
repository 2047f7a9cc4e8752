"""What a step prints and logs, for its failure record."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

LOG_TAIL = 4000  # characters that the record keeps


class _Tee(io.TextIOBase):
    """Writes through, and keeps the end."""

    def __init__(self, through: Any) -> None:
        self.through, self.tail = through, ""

    def write(self, text: str) -> int:
        self.tail = (self.tail + text)[-LOG_TAIL:]
        self.through.write(text)
        return len(text)

    def flush(self) -> None:
        self.through.flush()


@contextlib.contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """What the step prints and logs, for its failure record; it still goes to Ray's log files."""
    import sys

    tee = _Tee(sys.stderr)
    handler = logging.StreamHandler(tee)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(tee), contextlib.redirect_stderr(tee):
            yield lambda: tee.tail
    finally:
        logging.getLogger().removeHandler(handler)
