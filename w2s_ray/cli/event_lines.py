"""Events as lines of text: a driver on a cluster writes them, and whoever follows it draws them as a live view."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console

from w2s_ray.cli.live import View
from w2s_ray.core.errors import IdentityError
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent
from w2s_ray.engine.fingerprint import Key

MARK = "@w2s "  # begins such a line
VARIABLE = "W2S_EVENT_LINES"  # set: the run writes events as lines
_KINDS = {"step": StepEvent, "progress": ProgressEvent, "cell": CellEvent, "wait": WaitEvent}


class Writer:
    """A sink that writes a line an event; in the place of a live view."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._lock = write, threading.Lock()

    def __call__(self, event: Event) -> None:
        kind = next(name for name, one in _KINDS.items() if isinstance(event, one))
        fields = {name: value.full if isinstance(value, Key) else value for name, value in asdict_of(event).items()}
        with self._lock:
            self._write(f"{MARK}{json.dumps({'kind': kind, **fields})}\n")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def view_of(console: Console, num_cells: int) -> View | Writer:
    """A live view; on a cluster, lines for whoever follows from elsewhere."""
    return Writer(sys.stdout.write) if os.environ.get(VARIABLE) else View(console, num_cells)


def asdict_of(event: Event) -> dict[str, object]:
    """The fields of an event, its key as an object."""
    return {**asdict(event), **({"key": event.key} if isinstance(event, (StepEvent, ProgressEvent)) else {})}


def parse(line: str) -> Event | None:
    """The event of a line; None where the line holds none."""
    if not line.startswith(MARK):
        return None
    try:
        fields = json.loads(line.removeprefix(MARK))
        kind = _KINDS[fields.pop("kind")]
        if "key" in fields:
            fields["key"] = Key.parse(fields["key"])
        event: Event = kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, IdentityError):
        return None
    return event
