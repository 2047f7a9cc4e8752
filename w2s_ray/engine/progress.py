"""Progress of a running step: a small file in its work directory, written by the worker and polled by drivers. It works
wherever the step runs, and for every driver that waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from w2s_ray.engine.events import numbers_of
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.store import Store

FILE = "progress.json"
CURVE = "curve"  # in the file: the points of a fit's log so far

Curve = Callable[[], Sequence[Mapping[str, float]]]  # made only when it is written


class Tell(Protocol):
    """What a step reports its progress with."""

    def __call__(self, facts: Mapping[str, float], curve: Curve = list) -> None:
        """Numbers by name, and the points so far."""


def progress_name(key: Key) -> str:
    """The file's name below the store's root."""
    return f"{key.path}/work/{FILE}"


def curve_of(data: bytes) -> list[dict[str, float]]:
    """The points so far, as a worker wrote them; none where the file holds anything else."""
    try:
        points = json.loads(data)[CURVE]
        return [numbers_of(point) for point in points]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def every_s(store: Store) -> float:
    """The interval between writes, and between reads: longer for a remote store."""
    return 1.0 if store.local else 15.0


class Progress:
    """Writes the progress of one attempt. Steps that are shorter than the interval write nothing."""

    def __init__(self, store: Store, key: Key) -> None:
        self._store, self._name = store, progress_name(key)
        self._every_s = every_s(store)
        self._due = time.monotonic() + self._every_s

    def __call__(self, facts: Mapping[str, float], curve: Curve = list) -> None:
        """Write, if it is due. An error of the store must not fail the step; a store's client has errors of its own."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._every_s
        with suppress(Exception):
            self._store.write(self._name, json.dumps({**facts, CURVE: curve()}).encode())


def untold(facts: Mapping[str, float], curve: Curve = list) -> None:
    """For a process that does not lead: reports nothing."""
