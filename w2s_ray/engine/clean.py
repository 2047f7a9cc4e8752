"""Finds and removes what dead drivers and killed attempts left in a store. Nothing that a living driver may hold is
listed.

An attempt's folder does not name its driver, so while any driver is alive on the store only leases and heartbeats of
dead drivers are listed. Files are listed before drivers are checked for life: a driver that starts in between uses
names that the listing does not hold. Checkpoints of unfinished fits stay; the next run goes on from them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import STALE_S, Holder, Leases
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store

_ATTEMPT = re.compile(r"a[0-9a-f]{12}")  # as `new_attempt` names them
WRITTEN = "a file that was being written"
LOOK_S = 0.5  # between reads of a heartbeat


@dataclass(frozen=True)
class Leftover:
    """A file or folder below the store's root that nobody needs."""

    name: str
    why: str
    size: int = 0


@dataclass(frozen=True)
class Found:
    """What may be removed, and which drivers are alive."""

    leftovers: tuple[Leftover, ...]
    living: tuple[Holder, ...]
    leases: dict[str, str]  # among the leftovers: name -> the driver that held it


def living(store: Store, *, stale_s: float = STALE_S) -> tuple[Holder, ...]:
    """Drivers that are alive on a store now."""
    names = (f"drivers/{path.rpartition('/')[2]}" for path in store.fs.glob(f"{store.root}/drivers/*"))
    drivers = _drivers(store, names)
    dead = _dead(store, drivers, stale_s)
    return tuple(holder for name, holder in drivers.items() if name not in dead)


def find(store: Store, *, stale_s: float = STALE_S) -> Found:
    """List what may be removed; changes nothing. Takes `stale_s` where the heartbeat of a driver on another machine
    must be watched."""
    sizes = {
        path.partition(f"{store.root.lstrip('/')}/")[2]: int(facts["size"] or 0) * (facts["type"] == "file")
        for path, facts in store.fs.find(store.root, detail=True, withdirs=True).items()
    }
    drivers = _drivers(store, sizes)
    dead = _dead(store, drivers, stale_s)
    alive_now = tuple(holder for name, holder in drivers.items() if name not in dead)
    found = [Leftover(name, "a driver that is dead", sizes[name]) for name in sorted(dead)]
    alive = {name.removeprefix("drivers/") for name in drivers if name not in dead}
    holders = {name: Holder.loads(store.read(name) or b"").driver for name in sizes if _is_file_of("leases", name)}
    stops = [name for name in sizes if _is_file_of("stops", name) and name.removeprefix("stops/") not in alive]
    found += [Leftover(name, "a request to stop that nobody heard", sizes[name]) for name in sorted(stops)]
    leases = {name: driver for name, driver in holders.items() if driver not in alive}
    found += [Leftover(name, "a lease of a dead driver", sizes[name]) for name in sorted(leases)]
    if not alive_now:
        found += _of_attempts(store, sizes)
    return Found(tuple(found), alive_now, leases)


def remove(store: Store, found: Found) -> None:
    """Remove the leftovers. A lease is acquired and released, as by a run, so that no two drivers can hold one."""
    mine = Leases(store)
    for name, driver in found.leases.items():
        holder = Holder.loads(store.read(name) or b"")
        if holder.driver != driver:
            continue  # released meanwhile, and perhaps acquired by a living driver
        mine.mourn(holder)
        key = Key("lease", "of", PurePosixPath(name).name.partition(".")[0])
        if mine.acquire(key) is None:  # else a living driver has acquired it
            mine.release(key)
    mine.close()
    for leftover in found.leftovers:
        if leftover.name not in found.leases:
            store.remove(leftover.name)


def _drivers(store: Store, names: Iterable[str]) -> dict[str, Holder]:
    return {name: Holder.loads(store.read(name) or b"") for name in names if _is_file_of("drivers", name)}


def _dead(store: Store, drivers: dict[str, Holder], stale_s: float) -> set[str]:
    """Drivers of this machine whose process is gone, and drivers of other machines whose heartbeat does not change in
    `stale_s`."""
    dead = {name for name, holder in drivers.items() if holder.gone()}
    silent = {name: store.read(name) for name in drivers if name not in dead and not drivers[name].here()}
    until = time.monotonic() + stale_s
    while silent and time.monotonic() < until:
        time.sleep(min(LOOK_S, stale_s))
        silent = {name: counter for name, counter in silent.items() if store.read(name) == counter}
    return dead | set(silent)


def _is_file_of(folder: str, name: str) -> bool:
    return name.startswith(f"{folder}/") and not name.startswith(f"{folder}/.")


def _of_attempts(store: Store, sizes: dict[str, int]) -> Iterator[Leftover]:
    """Entries of artifacts' folders that no record names. For a store on which no driver is alive."""
    folders: dict[str, dict[str, int]] = {}  # folder of an artifact -> entry -> bytes
    for name, size in sizes.items():
        parts = name.split("/")
        if parts[0] in ("leases", "drivers", "stops", "ledger", "ends"):
            if parts[-1].startswith("."):
                yield Leftover(name, WRITTEN, size)
            continue
        if len(parts) > 2:
            inner = folders.setdefault("/".join(parts[:2]), {})
            inner[parts[2]] = inner.get(parts[2], 0) + size
    for folder, inner in sorted(folders.items()):
        if folder.startswith("ray-train/"):
            yield Leftover(folder, "notes of Ray Train on a fit that was killed", sum(inner.values()))
            continue
        record = _record(store, folder) if "record.json" in inner else None
        for name, size in sorted(inner.items()):
            if why := _why(name, record):
                yield Leftover(f"{folder}/{name}", why, size)


def _why(name: str, record: Record | None) -> str:
    if name.startswith("."):
        return WRITTEN
    if name.startswith("record.damaged-"):
        return "the record of an artifact that was damaged"
    if _ATTEMPT.fullmatch(name) and (record is None or name != record.attempt):
        return "an attempt that was not finished"
    if name == "work" and record is not None:
        return "checkpoints of a fit that is finished"
    return ""


def _record(store: Store, folder: str) -> Record | None:
    try:
        return Record.loads(store.read(f"{folder}/record.json") or b"")
    except ValueError:
        return None  # damaged: its attempt is of no use either
