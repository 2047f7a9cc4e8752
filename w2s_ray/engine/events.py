"""What happens while a study runs, for whoever listens: a live view, a log, a tracker of experiments.

A sink is a function of an event. The engine tells of steps, its own and those of workers, and of the progress of those
that run; the runner tells of cells. A sink is called from several threads; one that raises is not called again, and
nothing else happens to the run.
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
    """A step was found, waits, runs, ended."""

    what: What
    key: Key
    detail: str = ""


@dataclass(frozen=True)
class ProgressEvent:
    """How far a step that runs is: of a fit `step`, `steps`, `epoch`, `loss`, `lr`."""

    key: Key
    progress: Mapping[str, float]


@dataclass(frozen=True)
class CellEvent:
    """A cell of a study began or ended."""

    names: Mapping[str, Any]  # method, task, weak, strong, seed
    status: Literal["running", "done", "failed"]


Event = StepEvent | ProgressEvent | CellEvent
Sink = Callable[[Event], None]


class Sinks:
    """All who listen."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def tell(self, event: Event) -> None:
        """Whatever happens to who listens (a closed terminal) is no matter of the steps'."""
        for sink in list(self._sinks):
            try:
                sink(event)
            except BaseException as error:  # noqa: BLE001  (rich ends the thread where its terminal is gone)
                with self._lock:
                    if sink in self._sinks:
                        self._sinks.remove(sink)
                        logger.warning("progress is no longer told to %s: %s: %s", sink, type(error).__name__, error)


def parse_progress(data: bytes) -> dict[str, float]:
    """Numbers by name, as a worker wrote them; nothing where the file holds anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): float(value) for name, value in found.items() if isinstance(value, (int, float))}
