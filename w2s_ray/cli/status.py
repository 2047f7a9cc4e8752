"""`w2s status`: studies that have run, drivers that work on the store, steps that they have leased, and the latest
failures."""

from __future__ import annotations

import calendar
import shutil
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from w2s_ray.cli.say import say
from w2s_ray.core.errors import DamagedArtifact, IdentityError, InputError
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import STALE_S, Holder, drivers, key_of
from w2s_ray.engine.record import Failure
from w2s_ray.engine.store import Store, open_store
from w2s_ray.engine.usage import usage
from w2s_ray.reports.file import read_results

FAILURES = 10
STEPS = 6  # that are named with their size


def print_status(console: Console, store_url: str, runs: Path) -> None:
    """Short tables: studies, the store's disk, drivers, leases, failures."""
    _print_runs(console, runs)
    store = open_store(store_url)
    _print_disk(console, store)
    _print_drivers(console, store)
    _print_leases(console, store)
    _print_failures(console, store)


def _print_runs(console: Console, runs: Path) -> None:
    table = Table(
        "study",
        "cells",
        "ok",
        "no gap",
        "no floor",
        "failed",
        "steps made",
        "reused",
        "seconds",
        box=None,
        pad_edge=False,
    )
    for path in sorted(runs.glob("*/results.json")):
        try:
            results = read_results(str(path.parent), runs)
        except InputError:
            say(console, f"{path} cannot be read; `w2s run` of its study writes it again")
            continue
        states = [cell.status for cell in results.cells]
        counts = [str(states.count(state)) for state in ("ok", "no_gap", "no_floor", "failed")]
        table.add_row(
            results.name,
            str(len(states)),
            *counts,
            str(results.steps.executed),
            str(results.steps.reused),
            f"{results.seconds:.1f}",
        )
    say(console, table if table.row_count else f"no finished study in {runs}/")


def _print_disk(console: Console, store: Store) -> None:
    """What the store holds, the largest steps first, and how much room is left."""
    used = usage(store)
    if not used:
        return
    largest = sorted(used.items(), key=lambda item: -item[1].size)
    steps = ", ".join(f"{name} {each.artifacts} with {_in_bytes(each.size)}" for name, each in largest[:STEPS])
    more = f", {len(largest) - STEPS} more steps" if len(largest) > STEPS else ""
    free = f", {_in_bytes(shutil.disk_usage(store.root).free)} free on its disk" if store.local else ""
    total = _in_bytes(sum(each.size for each in used.values()))
    say(console, f"{store.url}: {total}{free}; {steps}{more}")


def _in_bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _print_drivers(console: Console, store: Store) -> None:
    for holder, about in drivers(store):
        if holder.gone():
            continue
        counts = ", ".join(f"{about.get(what, 0)} {what}" for what in ("made", "reused", "failed"))
        told = about.get("running")
        running = ", ".join(map(str, told if isinstance(told, list) else ())) or "nothing now"
        name = about.get("name") or "a run without a name"
        spent = about.get("device_hours")
        hours = f"; {spent:.2g} device-hours" if isinstance(spent, float) and spent else ""
        say(console, f"{name}: driver {holder.driver[:8]}, process {holder.pid}: {counts}{hours}; running {running}")
        # Of another machine's driver this cannot tell whether it is dead: its lease says after how long it counts so.


def _print_leases(console: Console, store: Store) -> None:
    for path in sorted(store.fs.glob(f"{store.root}/leases/[!.]*")):
        data = store.read(f"leases/{Path(path).name}")
        if data is None:
            continue  # given back just now
        holder, key = Holder.loads(data), key_of(data) or Path(path).name
        beat = store.read(f"drivers/{holder.driver}")
        state = "dead: the next run takes over" if holder.gone() or beat is None else "working"
        say(
            console,
            f"{state}: {key} (process {holder.pid}; silent for {STALE_S:.0f} s counts as dead)",
        )


def _print_failures(console: Console, store: Store) -> None:
    found = []
    for path in store.fs.glob(f"{store.root}/*/*/failure.json"):
        try:
            failure = Failure.loads(store.read(path.removeprefix(f"{store.root}/")) or b"")
            there = store.has(Key.parse(failure.key))
        except (ValueError, IdentityError, DamagedArtifact):
            continue  # it tells nothing, and the next run writes it anew
        if not there:
            found.append(failure)
    for failure in sorted(found, key=lambda f: f.made_at, reverse=True)[:FAILURES]:
        ago = time.time() - calendar.timegm(time.strptime(failure.made_at, "%Y-%m-%dT%H:%M:%SZ"))
        say(console, f"failed {max(ago, 0) / 60:.0f} min ago: {Key.parse(failure.key)}: {failure.error}")
