"""How a worker tells how far its step is: a small file in the step's work directory, which drivers look at. Works
wherever the step runs, and for every driver that waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress

from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.store import Store

FILE = "progress.json"


def progress_name(key: Key) -> str:
    """Where it lies below the store's root."""
    return f"{key.path}/work/{FILE}"


def every_s(store: Store) -> float:
    """How often it is written and read: a remote store is asked more rarely."""
    return 1.0 if store.local else 15.0


class Progress:
    """Of one attempt at a step. Short steps write nothing."""

    def __init__(self, store: Store, key: Key) -> None:
        self._store, self._name = store, progress_name(key)
        self._every_s = every_s(store)
        self._due = time.monotonic() + self._every_s

    def __call__(self, facts: Mapping[str, float]) -> None:
        """Never the reason why a step fails."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._every_s
        with suppress(OSError):
            self._store.write(self._name, json.dumps(dict(facts)).encode())


def untold(facts: Mapping[str, float]) -> None:
    """Of a process that does not lead."""
