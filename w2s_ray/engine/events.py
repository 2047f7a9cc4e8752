"""Events of a running study, for sinks such as a live view, a log or an experiment tracker.

A sink is a function of an event. The engine emits events of steps, in this process and in workers, and of their
progress; the runner emits events of cells. A sink is called from several threads. One that raises is not called again,
and the run is not affected.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from w2s_ray.engine.fingerprint import Key

What = Literal["hit", "queued", "leased", "running", "done", "failed", "skipped", "damaged"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepEvent:
    """A step changed its state: found in the store, waiting, running, ended."""

    what: What
    key: Key
    detail: str = ""


@dataclass(frozen=True)
class ProgressEvent:
    """The progress of a running step; for a fit `step`, `steps`, `epoch`, `loss`, `lr`."""

    key: Key
    progress: Mapping[str, float]


@dataclass(frozen=True)
class CellEvent:
    """A cell of a study began or ended."""

    names: Mapping[str, Any]  # method, task, weak, strong, seed
    status: Literal["running", "done", "failed"]


@dataclass(frozen=True)
class WaitEvent:
    """What the steps that wait for devices wait for, and who has it; empty where none waits."""

    why: str


Event = StepEvent | ProgressEvent | CellEvent | WaitEvent
Sink = Callable[[Event], None]


class Sinks:
    """The sinks of a run."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def tell(self, event: Event) -> None:
        """Pass an event to every sink. A sink's error (a closed terminal) must not reach the steps."""
        for sink in list(self._sinks):
            try:
                sink(event)
            except BaseException as error:  # noqa: BLE001  (rich ends the thread where its terminal is gone)
                with self._lock:
                    if sink in self._sinks:
                        self._sinks.remove(sink)
                        logger.warning("progress is no longer told to %s: %s: %s", sink, type(error).__name__, error)


def parse_progress(data: bytes) -> dict[str, float]:
    """Numbers by name, as a worker wrote them; empty where the file holds anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return numbers_of(found)


def numbers_of(found: object) -> dict[str, float]:
    """Those of an object that was read from JSON, by name."""
    if not isinstance(found, dict):
        return {}
    return {str(name): number for name, value in found.items() if (number := _number(value)) is not None}


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None
