"""The trackers of a run, as a sink of the engine's events (`engine/events.py`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.config.schema import STUDY
from w2s_ray.core.identity import identity
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports.schema import Results, parse
from w2s_ray.trackers.contract import Scalar, Tracker, flat
from w2s_ray.trackers.feed import Feed

FITS = ("train", "probe")  # steps that are runs
STATUS = {"running": "running", "hit": "done", "done": "done", "failed": "failed"}
LONG_WAIT_S = 600.0  # after which people are told what steps wait for
ROWS = 5  # of a table, in a sentence
NOT_OF_A_CELL = ("name", "hypothesis", "methods", "baseline", "seeds", "grid", "tuned")
LETTERS = 300  # of an error, in a sentence


@dataclass(frozen=True)
class Told:
    """What all trackers need to know of a run."""

    study: Study
    digest: str  # of the study, or of its search
    cells: Sequence[Mapping[str, Any]]  # their names, in the study's order; a search has none
    store: str
    folder: Path
    lasting: bool  # whether the folder will be there when the study is run again


class Tracking:
    """Tells each tracker, through a queue of its own, what happens; waits for them in the end, for a while."""

    def __init__(self, trackers: Sequence[Tracker], told: Told, warn: Callable[[str], None]) -> None:
        self.told = told
        self.params: Callable[[Key], Mapping[str, Any]] = lambda key: {}  # of a step; known once there is a context
        self._feeds = [Feed(one, lambda one=one: hello(one, told), warn) for one in trackers]  # type: ignore[misc]
        self._last: Mapping[str, Any] = {"what": "leave"}
        self._timer: threading.Timer | None = None
        self._failed = False

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waits("")
        if error is not None:
            self._say(f"stopped: {' '.join(str(error).split())[:LETTERS] or type(error).__name__}")
        # All are told before any is waited for: one that hangs takes no other's time.
        for feed in self._feeds:
            feed.last({"what": "leave"} if feed.tracker.sentences else self._last)
        for feed in self._feeds:
            feed.finish()

    def __call__(self, event: Event) -> None:
        if not self._feeds:
            return
        if isinstance(event, (StepEvent, ProgressEvent)):
            self._step(event)
        elif isinstance(event, WaitEvent):
            self._waits(event.why)
        else:
            self._cell(event)

    def ended(self, results: Mapping[str, Any], fits: Callable[[], Mapping[str, Any]], files: Sequence[Path]) -> None:
        """With these results; `fits` has all fits of the run by their keys."""
        if not self._feeds:
            return
        self._say(in_sentences(parse(results)))
        self._last = {"what": "end", "results": results, "fits": fits(), "files": _there(files)}

    def trial(self, name: str, run: Mapping[str, Any]) -> None:
        """A trial of a search has ended."""
        self._put({"what": "trial", "name": name, "run": run})

    def searched(self, trials: Mapping[str, Mapping[str, Any]], files: Sequence[Path]) -> None:
        """A search has ended, with these trials by their names."""
        self._say(f"search ended: {len(trials)} trials")
        self._last = {"what": "searched", "trials": trials, "files": _there(files)}

    def _step(self, event: StepEvent | ProgressEvent) -> None:
        what = event.what if isinstance(event, StepEvent) else "running"
        if event.key.step not in FITS or what not in STATUS or (isinstance(event, StepEvent) and what == "running"):
            return  # a fit under way is told of when there is something to see
        reason = event.detail if isinstance(event, StepEvent) else ""
        fit = {"key": event.key.full, "status": STATUS[what], "params": self.params(event.key), "reason": reason}
        self._put({"what": "fit", **fit})

    def _cell(self, event: CellEvent) -> None:
        self._put({"what": "cell", "names": dict(event.names), "status": event.status})
        if event.status == "failed" and not self._failed:
            self._failed = True
            names = ", ".join(f"{name} {value}" for name, value in event.names.items())
            self._say(f"a cell has failed ({names}); the others go on")

    def _waits(self, why: str) -> None:
        """Told of when it has lasted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if why:
            self._timer = threading.Timer(LONG_WAIT_S, self._say, [f"waits for long: {why}"])
            self._timer.daemon = True
            self._timer.start()

    def _put(self, message: Mapping[str, Any]) -> None:
        for feed in self._feeds:
            if not feed.tracker.sentences:
                feed.put(message)

    def _say(self, text: str) -> None:
        for feed in self._feeds:
            if feed.tracker.sentences:
                feed.put({"what": "say", "text": f"{self.told.study.config.name}: {text}"})


def _there(files: Sequence[Path]) -> list[str]:
    return [str(file.resolve()) for file in files if file.is_file()]


def hello(tracker: Tracker, told: Told) -> dict[str, Any]:
    """The first message to a tracker's process."""
    cells = [
        {"names": dict(names), "config": {**names, **config_of(cell)}}
        for names, cell in zip(told.cells, told.study.cells, strict=bool(told.cells))
    ]
    return {
        "tracker": tracker.told(), "study": told.study.config.name, "digest": told.digest, "store": told.store,
        "folder": str(told.folder.resolve()), "lasting": told.lasting, "cells": [] if tracker.sentences else cells,
    }  # fmt: skip


def config_of(cell: Any) -> dict[str, Scalar]:
    """All that its digest counts, of this cell."""
    whole = {name: value for name, value in identity(cell.config, STUDY).items() if name not in NOT_OF_A_CELL}
    grid = {f"grid.{name}": value for name, value in flat(cell.point).items()}
    return {**flat(whole), **flat({"method": cell.method.model_dump(mode="json")}), **grid}


def in_sentences(results: Results) -> str:
    """A study's end, for people."""
    failed = sum(cell.status == "failed" for cell in results.cells)
    lines = [f"ended: {len(results.cells)} cells, {failed} failed, {results.seconds:.0f} s"]
    for row in results.summary[:ROWS]:
        pgr = "no gap" if row.pgr.median is None else f"gap recovered {row.pgr.median:.2f}"
        lines.append(f"{row.method}, {row.task}, {row.weak} -> {row.strong}: student {row.student.mean:.3f}, {pgr}")
    more = len(results.summary) - ROWS
    return "\n".join([*lines, *([f"and {more} rows more"] if more > 0 else [])])
