"""`w2s logs` and `w2s stop` by the store alone: what drivers tell in their heartbeats, and how to ask them to stop."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from w2s_ray.cli.say import say
from w2s_ray.core.errors import InputError
from w2s_ray.engine.lease import HEARTBEAT_S, STALE_S, Holder, drivers, stop_name
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.event_lines import Recent, in_words

SHOWN = 8  # letters of a driver's id
STOP_S = 60.0  # for a driver to end what runs


def print_events(name: str, url: str, follow: bool, out: Console) -> int:
    """The latest events of a study's drivers, with their times. A driver that says nothing for as long as a dead one is
    not waited for."""
    store = open_store(url)
    seen = {holder.driver: _new(about, 0, out) for holder, about in _drivers_of(name, store).items()}
    heard = dict.fromkeys(seen, ("", time.monotonic()))
    while follow and seen:
        time.sleep(HEARTBEAT_S)
        for driver in list(seen):
            beat = hashlib.sha256(store.read(f"drivers/{driver}") or b"").hexdigest()
            if beat != heard[driver][0]:
                heard[driver] = (beat, time.monotonic())
        told = {holder.driver: about for holder, about in drivers(store) if not holder.gone()}
        silent = {driver for driver in seen if time.monotonic() - heard[driver][1] > STALE_S}
        for driver in silent & told.keys():
            say(out, f"driver {driver[:8]} has been silent for {STALE_S:.0f} s: it counts as dead")
        seen = {one: _new(told[one], after, out) for one, after in seen.items() if one in told and one not in silent}
    return 0


def _new(about: Mapping[str, Any], after: int, out: Console) -> int:
    """Print those after so many; how many there were."""
    until, events = Recent.told(about)
    for at, event in events[max(0, len(events) - (until - after)) :]:
        say(out, f"{time.strftime('%H:%M:%S', time.localtime(at))}  {in_words(event)}")
    return until


def stop_drivers(name: str, url: str, out: Console) -> int:
    """Ask them to stop; they look every few seconds."""
    store = open_store(url)
    asked = list(_drivers_of(name, store))
    for holder in asked:
        store.write(stop_name(holder.driver), b"")
    until = time.monotonic() + STOP_S
    while time.monotonic() < until and (left := {h.driver for h, _ in drivers(store)} & {h.driver for h in asked}):
        time.sleep(0.5)
    out.print(f"{len(asked) - len(left)} of {len(asked)} drivers of {name} have stopped", soft_wrap=True)
    return 1 if left else 0


def _drivers_of(name: str, store: Store) -> dict[Holder, dict[str, Any]]:
    """The drivers of a study, wherever they are, with what they tell; InputError where there is none."""
    living = [(holder, about) for holder, about in drivers(store) if not holder.gone()]
    found = {h: about for h, about in living if about.get("name") == name}
    if not found and len(name) >= SHOWN:
        found = {h: about for h, about in living if h.driver.startswith(name)}
    if not found:
        there = ", ".join(f"{about.get('name')} ({holder.driver[:8]})" for holder, about in living) or "none"
        raise InputError(
            f"no driver of {name!r} works on {store.url}; there: {there} (what it has made: `w2s report {name}`)"
        )
    return found
