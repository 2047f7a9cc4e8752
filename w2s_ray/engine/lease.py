"""Leases: of several drivers on one store, one computes a key and the others wait for it.

A lease is the file `leases/<digest>.<generation>`, made by exclusive create and never renamed; a driver that finds its
holder dead makes the next generation. Each driver has one heartbeat, a counter that others judge by their own monotonic
clock, so that no two machines' clocks are compared. A lease saves work; it does not guard results: those are guarded by
the exclusive create of the record.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.store import Store

HEARTBEAT_S = 2.0
STALE_S = 30.0


@dataclass(frozen=True)
class Holder:
    """The driver that holds a lease."""

    driver: str
    machine: str
    pid: int
    started: str

    @staticmethod
    def me() -> Holder:
        return Holder(uuid4().hex, _machine(), os.getpid(), _started(os.getpid()))

    def gone(self) -> bool:
        """Certainly dead: the same boot and process namespace, and no such process."""
        return self.machine == _machine() and _started(self.pid) != self.started

    def here(self) -> bool:
        """Whether its process is alive on this machine."""
        return self.machine == _machine() and not self.gone()

    def dumps(self, **more: object) -> bytes:
        return json.dumps({**self.__dict__, **more}).encode()

    @staticmethod
    def loads(data: bytes) -> Holder:
        """The holder that a lease or a heartbeat names. One that cannot be read (a power cut leaves an empty file)
        gives an unknown holder, which counts as dead after the usual time."""
        try:
            found = json.loads(data)
            holder = Holder(found["driver"], found["machine"], found["pid"], found["started"])
        except (ValueError, TypeError, KeyError, RecursionError):
            holder = None
        if (
            holder is None
            or not all(isinstance(text, str) for text in (holder.driver, holder.machine, holder.started))
            or not re.fullmatch(r"[0-9a-f]{32}", holder.driver)
            or type(holder.pid) is not int
            or holder.pid < 1
        ):
            return Holder(f"unreadable-{hashlib.sha256(data).hexdigest()[:32]}", "unknown", 0, "")
        return holder


def stop_name(driver: str) -> str:
    """The file by which anybody who may write to the store asks a driver to stop."""
    return f"stops/{driver}"


@dataclass(frozen=True)
class Heartbeat:
    """A driver's heartbeat as it is in the store."""

    holder: Holder
    about: dict[str, Any]  # what it tells of itself
    mark: str  # another one with each beat

    @property
    def name(self) -> str:
        """Of what it runs."""
        return str(self.about.get("name") or "")

    @property
    def began(self) -> float:
        """When it began, in seconds since 1970 by its own clock; 0 where it does not say."""
        told = self.about.get("began")
        return told if isinstance(told, float) else 0.0


def heartbeats(store: Store) -> list[Heartbeat]:
    """Those that are there; their drivers may be dead."""
    found = []
    for path in sorted(store.fs.glob(f"{store.root}/drivers/[0-9a-f]*")):
        data = store.read(f"drivers/{path.rpartition('/')[2]}")
        holder = Holder.loads(data) if data is not None else None
        if holder is not None and holder.pid:
            about = json.loads(data or b"{}").get("about")
            mark = hashlib.sha256(data or b"").hexdigest()
            found.append(Heartbeat(holder, about if isinstance(about, dict) else {}, mark))
    return found


def key_of(lease: bytes) -> Key | None:
    """The key that a lease is for; None if it cannot be read."""
    try:
        return Key.parse(json.loads(lease)["key"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@dataclass
class Leases:
    """One driver's leases."""

    store: Store
    holder: Holder = field(default_factory=Holder.me)
    heartbeat_s: float = HEARTBEAT_S
    stale_s: float = STALE_S
    about: Callable[[], Mapping[str, Any]] = dict  # what the heartbeat tells of this driver, for `w2s status`
    on_stop: Callable[[], None] = lambda: None  # somebody asks this driver to stop, through the store
    _held: dict[Key, int] = field(default_factory=dict)
    # By driver: its counter, and when a change of it was last seen here.
    _seen: dict[str, tuple[bytes | None, float]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _beating: threading.Thread | None = None

    def begin(self) -> None:
        """Begin the heartbeat, if it has not begun: from then on others see this driver."""
        if self._beating is None:
            self._beat(0)
            self._beating = threading.Thread(target=self._keep_beating, name="w2s-heartbeat", daemon=True)
            self._beating.start()

    def acquire(self, key: Key) -> Holder | None:
        """Try to acquire a lease: None on success, else its holder."""
        self.begin()
        generation = 0
        while not self.store.create(self._name(key, generation), self.holder.dumps(key=key.full), durable=False):
            data = self.store.read(self._name(key, generation))
            if data is None:
                continue  # released just now: try this generation again
            holder = Holder.loads(data)
            if holder.driver == self.holder.driver:
                break
            taken_over = self.store.read(self._name(key, generation + 1)) is not None
            if not taken_over and not self._dead(holder):
                return holder
            generation += 1
        self._held[key] = generation
        return None

    def release(self, key: Key) -> None:
        """Release a lease, with the dead generations below it; one that was taken over is left to its new holder."""
        generation = self._held.pop(key, None)
        if generation is None:
            return
        with suppress(Exception):  # a store that is away keeps it; whoever needs the key finds its record, or us dead
            if self.store.read(self._name(key, generation + 1)) is None:
                for dead in range(generation + 1):
                    self.store.remove(self._name(key, dead))

    def works(self, driver: str) -> bool:
        """Whether a driver has a heartbeat, and is not known to be gone."""
        beat = self.store.read(f"drivers/{driver}")
        return beat is not None and not Holder.loads(beat).gone()

    def mourn(self, holder: Holder) -> None:
        """Count a holder as dead, unless its heartbeat changes from now on: the caller has watched it long enough
        already."""
        self._seen[holder.driver] = (self.store.read(f"drivers/{holder.driver}"), float("-inf"))

    def close(self) -> None:
        """Release everything and stop the heartbeat."""
        for key in list(self._held):
            self.release(key)
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
            with suppress(Exception):
                self.store.remove(f"drivers/{self.holder.driver}")
                self.store.remove(stop_name(self.holder.driver))

    def _name(self, key: Key, generation: int) -> str:
        return f"leases/{key.digest}.{generation}"

    def _dead(self, holder: Holder) -> bool:
        if holder.gone():
            return True
        counter, now = self.store.read(f"drivers/{holder.driver}"), time.monotonic()
        if holder.driver not in self._seen or self._seen[holder.driver][0] != counter:
            self._seen[holder.driver] = (counter, now)
        return now - self._seen[holder.driver][1] > self.stale_s

    def _beat(self, count: int) -> None:
        self.store.write(f"drivers/{self.holder.driver}", self.holder.dumps(count=count, about=dict(self.about())))

    def _keep_beating(self) -> None:
        count = 0
        while not self._stop.wait(self.heartbeat_s):
            count += 1
            try:
                self._beat(count)
                if self.store.read(stop_name(self.holder.driver)) is not None:
                    self.on_stop()
                    self.store.remove(stop_name(self.holder.driver))  # asked again, it is told again
            except Exception:  # noqa: BLE001  (each cloud's client has errors of its own; the heartbeat must go on)
                continue  # the store is unreachable for a moment: other drivers wait `stale_s`


def _machine() -> str:
    """An id of the boot and the process namespace, within which process ids can be compared."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"unknown {uuid4().hex}"  # never equal: such a holder is judged by its heartbeat


def _started(pid: int) -> str:
    """When a process started, in ticks since boot: tells it from a later one with the same id. Empty when there is
    none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *rest = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if state in (b"Z", b"X") else rest[18].decode()
