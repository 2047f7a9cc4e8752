"""Events as lines of text: a driver on a cluster writes them, and whoever follows it draws them as a live view."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from w2s_ray.core.errors import IdentityError
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent, What
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports.live import View

MARK = "@w2s "  # begins such a line
DETAIL = 300  # letters of what is said of a step
RECENT = 40  # events that a heartbeat tells of
VARIABLE = "W2S_EVENT_LINES"  # set: the run writes events as lines
_KINDS = {"step": StepEvent, "progress": ProgressEvent, "cell": CellEvent, "wait": WaitEvent}


class Writer:
    """A sink that writes a line an event; in the place of a live view."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._lock = write, threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._write(f"{line_of(event)}\n")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Recent:
    """A sink that keeps the last events of a run, for those who look at it through its store."""

    def __init__(self) -> None:
        self._lines: deque[tuple[float, str]] = deque(maxlen=RECENT)
        self._until, self._lock = 0, threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, ProgressEvent) or (isinstance(event, StepEvent) and event.what in ("hit", "queued")):
            return
        if isinstance(event, StepEvent):
            event = replace(event, detail=event.detail[:DETAIL])
        with self._lock:
            self._lines.append((time.time(), line_of(event)))
            self._until += 1

    def about(self) -> dict[str, Any]:
        """For the heartbeat."""
        with self._lock:
            return {"events": (self._until, list(self._lines))}

    @staticmethod
    def told(about: Mapping[str, Any]) -> tuple[int, list[tuple[float, Event]]]:
        """Of a heartbeat: how many there were, and the last of them, with their times."""
        try:
            found = _TOLD.validate_python(about.get("events"))
        except ValidationError:
            return 0, []
        until, lines = found
        parsed = [(at, parse(line)) for at, line in lines[-RECENT:]]
        return until, [(at, event) for at, event in parsed if event is not None]


_TOLD = TypeAdapter(tuple[int, list[tuple[float, str]]])  # how many there were; the last of them, with their times


def in_words(event: Event) -> str:
    """An event for people, where nothing is drawn."""
    if isinstance(event, StepEvent):
        return f"{event.what} {event.key}" + (f": {event.detail}" if event.detail else "")
    if isinstance(event, CellEvent):
        return f"cell {event.status}: {', '.join(f'{name} {value}' for name, value in event.names.items())}"
    return event.why or "nothing waits" if isinstance(event, WaitEvent) else f"running {event.key}"


def line_of(event: Event) -> str:
    """An event as a line."""
    kind = next(name for name, one in _KINDS.items() if isinstance(event, one))
    fields = {name: value.full if isinstance(value, Key) else value for name, value in asdict_of(event).items()}
    return f"{MARK}{json.dumps({'kind': kind, **fields})}"


def drawn(view: View, out: Console) -> Callable[[str], None]:
    """A function of a line: an event goes to the view, all else is printed."""

    def line(text: str) -> None:
        event = parse(text)
        if event is None:
            out.print(text, soft_wrap=True)
        else:
            view(event)

    return line


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
    return event if _is_sound(event) else None


def _is_sound(event: Event) -> bool:
    """Whether its fields have their types: a line may be anybody's."""
    if isinstance(event, StepEvent):
        return isinstance(event.key, Key) and event.what in get_args(What) and isinstance(event.detail, str)
    if isinstance(event, ProgressEvent):
        numbers = event.progress.values() if isinstance(event.progress, dict) else [None]
        return isinstance(event.key, Key) and all(type(number) in (int, float) for number in numbers)
    if isinstance(event, CellEvent):
        return isinstance(event.names, dict) and isinstance(event.status, str)
    return isinstance(event.why, str)
