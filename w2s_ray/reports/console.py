"""A terminal for texts that are anybody's: names, values and messages of rows, files and libraries."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment


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
