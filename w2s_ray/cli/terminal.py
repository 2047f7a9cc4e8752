"""What the commands print on, and how they are stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from w2s_ray.reports.console import Terminal, writes_to

out = Terminal()
err = Terminal(stderr=True)

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopping(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM, or a terminal that closes) stops cleanly, the second one at once."""
    seen = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            os._exit(130)
        seen = True
        err.print("\nstopping: what runs is ended, what is finished is kept (again to end at once)")
        interrupt()

    heard = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores
    old = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def libraries_apart(file: Path | None) -> Iterator[None]:
    """What libraries write to the standard error goes to a file (Ray's C++ lines tell a user nothing); ours goes on to
    the terminal. None: all goes there."""
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    terminal, python = os.dup(2), sys.stderr
    if writes_to(python, 2):
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=python.encoding, errors="backslashreplace")
    target = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        sys.stderr = python
        if file.stat().st_size == 0:
            file.unlink()
