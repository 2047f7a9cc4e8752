"""What the devices of a driver did: how long they were there and at work, and what was lost on the way, and why.

An executor keeps an `Account`; the driver writes it to `ledger/<driver>.json` of the store, from time to time and at
its end, so that a study's ledgers tell of all drivers that worked on it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from w2s_ray.core.errors import Interrupted, OutOfMemory
from w2s_ray.core.resources import Resources
from w2s_ray.engine.record import now
from w2s_ray.engine.store import Store

# error: the step raised. process: one died alone. stopped: the run was.
Cause = Literal["error", "out of memory", "preemption", "node", "process", "stopped", "unknown"]

DEVICES = ("CPU", "GPU")
KEPT = 1000  # losses that a ledger lists; later ones are counted
HOUR_S = 3600.0


@dataclass(frozen=True)
class Loss:
    """Work that ended without a result. A fit goes on from its last checkpoint, so of its seconds fewer are lost."""

    key: str
    cause: Cause
    detail: str
    seconds: float
    devices: dict[str, float]
    at: str = field(default_factory=now)


@dataclass(frozen=True)
class Ledger:
    """One driver's devices so far: seconds of each."""

    driver: str
    name: str  # of the study
    began: str
    seconds: float
    there: dict[str, float]
    busy: dict[str, float]
    lost: dict[str, float]  # of the busy ones
    spent: float  # of the device that a step is computed on: its GPUs, or its CPUs where it asks for none
    losses: tuple[Loss, ...] = ()
    more_losses: int = 0
    running: dict[str, float] = field(default_factory=dict)  # key -> seconds
    ended: bool = False  # by itself: another one was killed, and what ran then was lost


_LEDGER: TypeAdapter[Ledger] = TypeAdapter(Ledger)


class Account:
    """Counts device-seconds from its first work on. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._have: dict[str, float] = {}
        self._work: dict[Hashable, tuple[str, Mapping[str, float], float]] = {}
        self._began = ("", 0.0)
        self._seen = 0.0
        self._there = dict.fromkeys(DEVICES, 0.0)
        self._busy, self._lost = dict(self._there), dict(self._there)
        self._spent = 0.0
        self._losses: list[Loss] = []
        self._more = 0

    def resize(self, have: Mapping[str, float]) -> None:
        """So many devices are there from now on."""
        with self._lock:
            self._pass()
            self._have = {name: have.get(name, 0.0) for name in DEVICES}

    def begin(self, work: Hashable, key: str, devices: Mapping[str, float]) -> None:
        """Something runs on so many devices."""
        with self._lock:
            self._pass()
            self._work[work] = (key, {name: devices.get(name, 0.0) for name in DEVICES}, time.monotonic())

    def end(self, work: Hashable) -> None:
        """It has ended."""
        with self._lock:
            self._pass()
            self._work.pop(work, None)

    def lose(self, work: Hashable, cause: Cause, detail: str, seconds: float | None = None) -> None:
        """What it did since it began (or so many seconds of that) was for nothing; it goes on, until it is ended."""
        with self._lock:
            self._pass()
            if (begun := self._work.get(work)) is None:
                return
            key, devices, since = begun
            seconds = self._seen - since if seconds is None else min(seconds, self._seen - since)
            self._work[work] = (key, devices, since + seconds)
            for name in DEVICES:
                self._lost[name] += seconds * devices[name]
            if len(self._losses) < KEPT:
                self._losses.append(Loss(key, cause, " ".join(detail.split())[:300], round(seconds, 3), dict(devices)))
            else:
                self._more += 1

    @property
    def num_losses(self) -> int:
        return len(self._losses) + self._more

    @property
    def spent(self) -> float:
        """Device-seconds so far."""
        with self._lock:
            self._pass()
            return self._spent

    def ledger(self, driver: str, name: str, *, ended: bool = False) -> Ledger:
        """All of it."""
        with self._lock:
            self._pass()
            running = {key: round(self._seen - since, 3) for key, _, since in self._work.values()}
            seconds = self._seen - self._began[1] if self._began[0] else 0.0
            return Ledger(
                driver, name, self._began[0] or now(), round(seconds, 3), _rounded(self._there), _rounded(self._busy),
                _rounded(self._lost), round(self._spent, 3), tuple(self._losses), self._more, running, ended,
            )  # fmt: skip

    def _pass(self) -> None:
        """Count the time since the last look."""
        instant = time.monotonic()
        if not self._began[0]:
            self._began, self._seen = (now(), instant), instant
        passed, self._seen = instant - self._seen, instant
        for name in DEVICES:
            self._there[name] += passed * self._have.get(name, 0.0)
            self._busy[name] += passed * sum(devices[name] for _, devices, _ in self._work.values())
        self._spent += passed * sum(devices["GPU"] or devices["CPU"] for _, devices, _ in self._work.values())


def cause_of(error: BaseException) -> Cause:
    """Of a step that raised."""
    if isinstance(error, (MemoryError, OutOfMemory)) or "out of memory" in str(error)[:1000].lower():
        return "out of memory"
    return "stopped" if isinstance(error, Interrupted) else "error"


def devices_of(resources: Resources, workers: int | None = None) -> dict[str, float]:
    """Of all processes of a step; of an elastic gang, of the fewest."""
    count = workers or resources.fewest
    return {"CPU": resources.cpus * count, "GPU": resources.gpus * count}


def keep(store: Store, ledger: Ledger) -> None:
    """Write a driver's ledger."""
    store.write(_name(ledger.driver), json.dumps(asdict(ledger)).encode())


def ledgers(store: Store, name: str | None = None) -> Iterator[Ledger]:
    """Of a study's drivers, or of all; what cannot be read is left out."""
    for path in sorted(store.fs.glob(f"{store.root}/ledger/*.json")):
        data = store.read(f"ledger/{path.rpartition('/')[2]}")
        try:
            found = _LEDGER.validate_json(data or b"")
        except ValidationError:
            continue
        if name is None or found.name == name:
            yield found


def _name(driver: str) -> str:
    return f"ledger/{driver}.json"


def _rounded(amounts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(amount, 3) for name, amount in amounts.items()}
