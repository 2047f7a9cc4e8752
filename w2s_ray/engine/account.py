"""What the devices of a driver did: how long they were there and at work, and what was lost on the way, and why.

An executor keeps an `Account`; the driver writes it to `ledger/<study>-<driver>.json` of the store, from time to time
and at its end, so that a study's ledgers tell of all drivers that worked on it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from w2s_ray.core.errors import Interrupted, OutOfMemory
from w2s_ray.core.resources import Resources
from w2s_ray.engine.record import now
from w2s_ray.engine.store import Store

# error: the step raised. process: one died alone. stopped: the run was.
Cause = Literal["error", "out of memory", "preemption", "node", "process", "stopped", "unknown"]

logger = logging.getLogger(__name__)

DEVICES = ("CPU", "GPU")
KEPT = 1000  # losses that a ledger lists; later ones are counted
HOUR_S = 3600.0


# A store may be anybody's.
Words = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Loss:
    """Work that ended without a result. A fit goes on from its last checkpoint, so of its seconds fewer are lost."""

    key: Words
    cause: Cause
    detail: Words
    seconds: Amount
    devices: dict[Words, Amount]
    at: Words = field(default_factory=now)


@dataclass(frozen=True)
class Ledger:
    """One driver's devices so far: seconds of each."""

    driver: Words
    name: str  # of the study
    began: Words
    seconds: Amount
    there: dict[Words, Amount]
    busy: dict[Words, Amount]
    lost: dict[Words, Amount]  # of the busy ones
    spent: Amount  # of the device that a step is computed on: its GPUs, or its CPUs where it asks for none
    losses: Annotated[tuple[Loss, ...], Field(max_length=KEPT)] = ()
    more_losses: Annotated[int, Field(ge=0)] = 0
    running: Annotated[dict[Words, Amount], Field(max_length=100_000)] = field(default_factory=dict)  # key -> seconds
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

    def change(self, work: Hashable, devices: Mapping[str, float]) -> None:
        """It has so many devices from now on."""
        with self._lock:
            self._pass()
            if (begun := self._work.get(work)) is not None:
                self._work[work] = (begun[0], {name: devices.get(name, 0.0) for name in DEVICES}, begun[2])

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
            seconds = self._seen - since if seconds is None else max(0.0, min(seconds, self._seen - since))
            self._work[work] = (key, devices, since + seconds)
            for name in DEVICES:
                self._lost[name] += seconds * devices[name]
            if len(self._losses) < KEPT:
                self._losses.append(Loss(key, cause, _line(detail), round(seconds, 3), dict(devices)))
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
            self._busy[name] += passed * self._at_most(name, (each[name] for _, each, _ in self._work.values()))
        on_gpus = [each["GPU"] for _, each, _ in self._work.values() if each["GPU"]]
        on_cpus = [each["CPU"] for _, each, _ in self._work.values() if not each["GPU"]]
        self._spent += passed * (self._at_most("GPU", on_gpus) + self._at_most("CPU", on_cpus))

    def _at_most(self, name: str, amounts: Iterable[float]) -> float:
        """What is there: a gang that lost a machine waits for another one."""
        return min(sum(amounts), self._have.get(name, math.inf))


def cause_of(error: BaseException) -> Cause:
    """Of a step that raised."""
    if isinstance(error, (MemoryError, OutOfMemory)) or "out of memory" in str(error)[:1000].lower():
        return "out of memory"
    return "stopped" if isinstance(error, Interrupted) else "error"


def devices_of(resources: Resources, workers: int | None = None) -> dict[str, float]:
    """Of all processes of a step; of an elastic gang, of the fewest."""
    count = workers or resources.fewest
    return {"CPU": resources.cpus * count, "GPU": resources.num_gpus * count}


def keep(store: Store, ledger: Ledger) -> None:
    """Write a driver's ledger."""
    store.write(_name(ledger), json.dumps(asdict(ledger)).encode())


def ledgers(store: Store, name: str | None = None) -> Iterator[Ledger]:
    """Of a study's drivers, or of all; what cannot be read is left out."""
    for path in sorted(store.fs.glob(f"{store.root}/ledger/{'*' if name is None else _study(name)}-*.json")):
        try:
            found = _LEDGER.validate_json(store.read(f"ledger/{path.rpartition('/')[2]}") or b"")
        except Exception:
            logger.debug("the ledger %s cannot be read", path, exc_info=True)
            continue
        if name is None or found.name == name:
            yield found


def _name(ledger: Ledger) -> str:
    return f"ledger/{_study(ledger.name)}-{ledger.driver}.json"


def _study(name: str) -> str:
    """So that those of one study are found by their names."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\s]+", " ", text)[:300].strip()


def _rounded(amounts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(amount, 3) for name, amount in amounts.items()}
