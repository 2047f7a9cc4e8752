"""`w2s logs` and `w2s stop` by the store alone: what drivers tell in their heartbeats, and how to ask them to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from w2s_ray.cli.event_lines import Recent, drawn
from w2s_ray.cli.live import View
from w2s_ray.core.errors import InputError
from w2s_ray.engine.lease import HEARTBEAT_S, Holder, drivers, stop_name
from w2s_ray.engine.store import Store, open_store

STOP_S = 60.0  # for a driver to end what runs


def print_events(name: str, url: str, follow: bool, out: Console) -> int:
    """The latest events of a study's drivers."""
    store = open_store(url)
    line = drawn(View(out, 0), out)
    seen = {holder.driver: _new(about, 0, line) for holder, about in _drivers_of(name, store).items()}
    while follow and seen:
        time.sleep(HEARTBEAT_S)
        told = {holder.driver: about for holder, about in drivers(store) if not holder.gone()}
        seen = {driver: _new(told[driver], after, line) for driver, after in seen.items() if driver in told}
    return 0


def _new(about: Mapping[str, Any], after: int, line: Callable[[str], None]) -> int:
    """Pass those after so many; how many there were."""
    until, lines = Recent.told(about)
    for text in lines[max(0, len(lines) - (until - after)) :]:
        line(text)
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
    found = {h: about for h, about in living if about.get("name") == name or h.driver.startswith(name)}
    if not found:
        there = ", ".join(f"{about.get('name')} ({holder.driver[:8]})" for holder, about in living) or "none"
        raise InputError(
            f"no driver of {name!r} works on {store.url}; there: {there} (what it has made: `w2s report {name}`)"
        )
    return found
