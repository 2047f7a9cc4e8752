"""What a run shows while it goes: on a terminal and in a log as `w2s run` does, in a notebook in one place of its
output."""

from __future__ import annotations

import html
import threading
import time
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console

from w2s_ray.config.load import Study
from w2s_ray.engine.events import Event, Sink
from w2s_ray.reports.console import Terminal
from w2s_ray.reports.live import View

EVERY_S = 0.5
WIDTH = 120


def shown_here(console: Console, study: Study) -> AbstractContextManager[Sink]:
    """The view that suits where the program runs."""
    if Console().is_jupyter:
        return _InNotebook(study)
    return View(console, len(study.cells))


class _InNotebook:
    """A sink that keeps one place of a cell's output up to date."""

    def __init__(self, study: Study) -> None:
        self._console = Terminal(width=WIDTH, quiet=True, force_jupyter=False)
        self._view = View(self._console, len(study.cells), live=False)
        self._name, self._shown, self._lock = study.config.name, 0.0, threading.Lock()
        self._place: Any = None

    def __enter__(self) -> _InNotebook:
        from IPython.display import display

        self._place = display(_both(""), raw=True, display_id=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._show(self._view.in_a_line(self._name))

    def __call__(self, event: Event) -> None:
        self._view(event)
        with self._lock:
            due = time.monotonic() - self._shown >= EVERY_S
            self._shown = time.monotonic() if due else self._shown
        if due:
            self._show(self._view.picture(WIDTH))

    def _show(self, text: str) -> None:
        self._place.update(_both(text), raw=True)


def _both(text: str) -> dict[str, str]:
    """For those who show HTML, and those who do not."""
    return {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
