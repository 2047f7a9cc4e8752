"""What the commands print on, and how they are stopped."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.segment import Segment

from w2s_ray.core.errors import BudgetSpent, InputError, Interrupted, ResourceError


# No markup and no emoji codes: names, values and messages may hold brackets and colons. What is coloured is a Text.
class _Terminal(Console):
    """Goes on in silence where nobody reads any more (`w2s run … | head`): the study is worth more than its picture."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:  # a terminal that hung up
            self.quiet = True

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Texts of rows, names and messages are anybody's: their escape codes are shown, not obeyed."""
        return super()._render_buffer(
            Segment(harmless(s.text), s.style, s.control) if not s.control else s for s in buffer
        )


_CODES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """Without characters that a terminal acts on."""
    return _CODES.sub("\N{REPLACEMENT CHARACTER}", text)


out = _Terminal(markup=False, emoji=False, highlight=False)
err = _Terminal(stderr=True, markup=False, emoji=False, highlight=False)


def exit_code(error: BaseException) -> int:
    """Of a command that an error ended."""
    if isinstance(error, (InputError, ResourceError)):
        return 2
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return 3 if isinstance(error, BudgetSpent) else 130
    return 1


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
    if _is_real(python, 2):
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


@contextmanager
def output_apart() -> Iterator[Callable[[str], None]]:
    """Gives what writes to the standard output, at once; what anything else writes there goes to the standard error.
    Where nobody reads any more it is silent: the study is worth more than who follows it."""
    python, own, heard = sys.stdout, sys.stdout, True
    real = _is_real(python, 1)
    if real:
        python.flush()
        own = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
    sys.stdout = sys.stderr

    def write(text: str) -> None:
        nonlocal heard
        try:
            if heard:
                own.write(text)
                own.flush()
        except OSError:
            heard = False

    try:
        yield write
    finally:
        sys.stdout = python
        if real:
            os.dup2(own.fileno(), 1)
            with suppress(OSError):
                own.close()


def _is_real(stream: Any, number: int) -> bool:
    """Whether it writes to this file of the process."""
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError, AttributeError):
        return False
