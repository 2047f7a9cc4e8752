"""A terminal for texts that are anybody's: names, values and messages of rows, files and libraries; and a standard
output that is for programs alone."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text


# No markup and no emoji codes: names, values and messages may hold brackets and colons. What is coloured is a Text.
class Terminal(Console):
    """Goes on in silence where nobody reads any more (`w2s run … | head`): the study is worth more than its picture."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

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


def teller(console: Console) -> Callable[[str], None]:
    """What says a line there."""
    return lambda text: console.print(Text(text), soft_wrap=True)


def warner(console: Console) -> Callable[[str], None]:
    """What says a warning there."""
    return lambda text: console.print(Text.assemble(("warning ", "yellow"), text), soft_wrap=True)


@contextmanager
def output_apart() -> Iterator[Callable[[str], None]]:
    """Gives what writes to the standard output, at once; what anything else writes there goes to the standard error.
    Where nobody reads any more it is silent: the study is worth more than who follows it."""
    python, own, heard = sys.stdout, sys.stdout, True
    real = writes_to(python, 1)
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


def writes_to(stream: Any, number: int) -> bool:
    """Whether it writes to this file of the process."""
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError, AttributeError):
        return False
