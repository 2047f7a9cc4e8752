"""What happens in a run as lines of JSON: an object a line, for programs and for whoever follows from elsewhere.

One form for all: `w2s run --json` writes these lines, a submitted job's log holds them, and a driver's heartbeat tells
the last of them. docs/how-to/follow-a-run.md lists their fields.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from w2s_ray.core.errors import IdentityError
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent, What
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports.console import output_apart
from w2s_ray.reports.ending import End
from w2s_ray.reports.live import View

VERSION = 1
MARK = f'{{"w2s": {VERSION}, '  # begins such a line
DETAIL = 300  # letters of what is said of a step
RECENT = 40  # events that a heartbeat tells of
KINDS = {"step": StepEvent, "progress": ProgressEvent, "cell": CellEvent, "wait": WaitEvent}


class Writer:
    """A sink that writes a line an event; in the place of a live view."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._lock = write, threading.Lock()
        self.name = ""  # of the study, once it is known

    def __call__(self, event: Event) -> None:
        self.told(time.time(), event)

    def told(self, at: float, event: Event) -> None:
        """An event of an earlier time."""
        self._line(line_of(event, at))

    def trial(self, number: int, state: str, values: Mapping[str, float], point: Mapping[str, Any]) -> None:
        """A trial of a search has ended."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._line(_line("trial", time.time(), {"number": number, "state": state, "values": finite, "point": point}))

    def end(self, end: End) -> None:
        """The last line."""
        self._line(_line("end", end.at, end.model_dump(mode="json", exclude={"at"})))

    def _line(self, line: str) -> None:
        with self._lock:
            self._write(f"{line}\n")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


@contextmanager
def objects(asked: bool) -> Iterator[Writer | None]:
    """Where they are asked for: standard output is for them alone, and the last one says how it ended also where it
    ended before its time."""
    if not asked:
        yield None
        return
    with output_apart() as write:
        writer = Writer(write)
        try:
            yield writer
        except BaseException as error:
            writer.end(End.by(error, writer.name))
            raise


class Recent:
    """A sink that keeps what is new of a run, for those who look at it through its store."""

    def __init__(self, num_cells: int = 0) -> None:
        self._lines: deque[str] = deque(maxlen=RECENT)
        self._until, self._lock = 0, threading.Lock()
        self._cells: Counter[str] = Counter()
        self._num_cells, self._why, self._began = num_cells, "", time.time()

    def __call__(self, event: Event) -> None:
        if isinstance(event, ProgressEvent) or (isinstance(event, StepEvent) and event.what in ("hit", "queued")):
            return
        if isinstance(event, StepEvent):
            event = replace(event, detail=event.detail[:DETAIL])
        with self._lock:
            if isinstance(event, CellEvent):
                self._cells[event.status] += 1
            if isinstance(event, WaitEvent):
                self._why = event.why
            self._lines.append(line_of(event, time.time()))
            self._until += 1

    def about(self) -> dict[str, Any]:
        """For the heartbeat."""
        with self._lock:
            done, failed = self._cells["done"], self._cells["failed"]
            cells = {"cells": self._num_cells, "cells_done": done, "cells_failed": failed, "waits_for": self._why}
            return {"began": self._began, **cells, "events": (self._until, list(self._lines))}

    @staticmethod
    def told(about: Mapping[str, Any]) -> tuple[int, list[tuple[float, Event]]]:
        """Of a heartbeat: how many there were, and the last of them, with their times."""
        try:
            until, lines = _TOLD.validate_python(about.get("events"))
        except ValidationError:
            return 0, []
        parsed = [(_at(line), parse(line)) for line in lines[-RECENT:]]
        return until, [(at, event) for at, event in parsed if event is not None]


_TOLD = TypeAdapter(tuple[int, list[str]])  # how many there were; the last of them


def in_words(event: Event) -> str:
    """An event for people, where nothing is drawn."""
    if isinstance(event, StepEvent):
        return f"{event.what} {event.key}" + (f": {event.detail}" if event.detail else "")
    if isinstance(event, CellEvent):
        return f"cell {event.status}: {', '.join(f'{name} {value}' for name, value in event.names.items())}"
    return event.why or "nothing waits" if isinstance(event, WaitEvent) else f"running {event.key}"


def line_of(event: Event, at: float) -> str:
    """An event as a line."""
    kind = next(name for name, one in KINDS.items() if isinstance(event, one))
    fields = {name: value.full if isinstance(value, Key) else value for name, value in asdict_of(event).items()}
    if isinstance(event, ProgressEvent):
        fields["progress"] = {name: value for name, value in event.progress.items() if math.isfinite(value)}
    return _line(kind, at, fields)


def _line(kind: str, at: float, fields: Mapping[str, Any]) -> str:
    """JSON as everybody reads it: without NaN."""
    return MARK + json.dumps({"kind": kind, "at": round(at, 3), **fields}, allow_nan=False)[1:]


def drawn(view: View, out: Console) -> Callable[[str], None]:
    """A function of a line of a job's log: an event goes to the view, what people were told is printed. The rest is for
    programs."""

    def line(text: str) -> None:
        event = parse(text)
        if event is not None:
            view(event)
        elif not text.startswith(MARK):
            out.print(text, soft_wrap=True)

    return line


def view_of(console: Console, num_cells: int, writer: Writer | None) -> View | Writer:
    """A live view, or objects where they are asked for."""
    return writer or View(console, num_cells)


def asdict_of(event: Event) -> dict[str, object]:
    """The fields of an event, its key as an object."""
    return {**asdict(event), **({"key": event.key} if isinstance(event, (StepEvent, ProgressEvent)) else {})}


def parse(line: str) -> Event | None:
    """The event of a line; None where the line holds none."""
    if not line.startswith(MARK):
        return None
    try:
        fields = json.loads(line)
        kind = KINDS[fields.pop("kind")]
        del fields["w2s"], fields["at"]
        if "key" in fields:
            fields["key"] = Key.parse(fields["key"])
        event: Event = kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, IdentityError):
        return None
    return event if _is_sound(event) else None


def _at(line: str) -> float:
    """When it happened, in seconds since 1970; 0 where the line does not say."""
    try:
        at = float(json.loads(line)["at"])
        time.localtime(at)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, OSError):
        return 0.0
    return at


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
