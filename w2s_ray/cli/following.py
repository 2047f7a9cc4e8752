"""Runs that are followed by their store alone, from anywhere: `w2s attach`, `logs`, `stop`. Drivers tell in their
heartbeats what they do; a study's last one leaves how it ended."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.text import Text

from w2s_ray.cli.say import say
from w2s_ray.core.errors import IdentityError, InputError
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, WaitEvent, parse_progress
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import HEARTBEAT_S, STALE_S, Heartbeat, Holder, heartbeats, stop_name
from w2s_ray.engine.progress import every_s, progress_name
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.ending import End, Kept
from w2s_ray.reports.event_lines import Recent, Writer, in_words, objects
from w2s_ray.reports.live import View

SHOWN = 8  # letters of a driver's id
STOP_S = 60.0  # for a driver to end what runs

Heard = Callable[[float, Event], None]


class Told(BaseModel):
    """What a driver tells of itself. A heartbeat may be anybody's: one with other types tells nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = ""
    began: float = Field(0.0, ge=0, allow_inf_nan=False)
    made: int = Field(0, ge=0)
    reused: int = Field(0, ge=0)
    failed: int = Field(0, ge=0)
    waiting: int = Field(0, ge=0)
    waits_for: str = ""
    cells: int = Field(0, ge=0)
    cells_done: int = Field(0, ge=0)
    cells_failed: int = Field(0, ge=0)
    device_hours: float = Field(0.0, ge=0, allow_inf_nan=False)
    running: dict[str, float] = {}

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Told:
        try:
            return cls.model_validate(about)
        except ValidationError:
            return cls()

    @property
    def keys(self) -> dict[Key, float]:
        """What runs, and for how many seconds."""
        found = {}
        for text, seconds in self.running.items():
            try:
                found[Key.parse(text)] = seconds
            except IdentityError:
                continue
        return found


@dataclass
class _Followed:
    """A driver, and when it was last heard."""

    beat: Heartbeat
    heard: float = field(default_factory=time.monotonic)
    until: int = 0  # events that were passed on


class Following:
    """The drivers of one study."""

    def __init__(self, store: Store, name: str, heard: Heard, err: Console) -> None:
        self.store, self.name, self._heard, self._err = store, name, heard, err
        self.left: dict[str, _Followed] = {}
        self._lost: set[str] = set()  # those that died
        self._began = 0.0  # the latest of all
        self._cells: set[str] = set()  # those that were told; each driver tells of each
        for beat in drivers_of(store, name):
            self.name = beat.name
            self._meet(beat)
        if not self.left:
            self._find_dead()

    @property
    def met(self) -> bool:
        """Whether there was any, alive or dead."""
        return self._began > 0

    def look(self) -> None:
        """What is new since the last look. A driver that says nothing for as long as a dead one is not waited for."""
        there = {beat.holder.driver: beat for beat in heartbeats(self.store)}
        for driver, one in list(self.left.items()):
            beat = there.get(driver)
            if beat is None:
                del self.left[driver]
            elif beat.mark != one.beat.mark:
                one.beat, one.heard = beat, time.monotonic()
                self._pass(one)
            elif beat.holder.gone() or time.monotonic() - one.heard > STALE_S:
                self._lose(beat)
        for driver, beat in there.items():
            if beat.name == self.name and driver not in self.left.keys() | self._lost and not beat.holder.gone():
                self._meet(beat)

    def end(self) -> Kept | None:
        """How the study ended, if the last of its drivers did so by itself."""
        kept = Kept.of(self.store, self.name)
        return kept if kept is not None and kept.end.at >= self._began else None

    def _find_dead(self) -> None:
        """Those that died before anybody looked; of no interest where the study came to its end since."""
        dead = [beat for beat in heartbeats(self.store) if beat.name == self.name]
        self._began = max((beat.began for beat in dead), default=0.0)
        if self.end() is None:
            for beat in dead:
                self._lose(beat)

    def _lose(self, beat: Heartbeat) -> None:
        holder = beat.holder
        silent = "is gone" if holder.gone() else f"has been silent for {STALE_S:.0f} s: it counts as dead"
        say(self._err, f"driver {holder.driver[:SHOWN]} (process {holder.pid}) {silent}")
        self._lost.add(holder.driver)
        self.left.pop(holder.driver, None)

    def _meet(self, beat: Heartbeat) -> None:
        self._began = max(self._began, beat.began)
        self.left[beat.holder.driver] = _Followed(beat)
        self._pass(self.left[beat.holder.driver])

    def _pass(self, one: _Followed) -> None:
        until, events = Recent.told(one.beat.about)
        for at, event in events[max(0, len(events) - (until - one.until)) :]:
            cell = in_words(event) if isinstance(event, CellEvent) else ""
            if cell not in self._cells:
                self._heard(at, event)
            self._cells |= {cell} if cell else set()
        one.until = until


def drivers_of(store: Store, name: str) -> list[Heartbeat]:
    """Of a study, or one by its id, wherever they are; those of this machine that are dead are left out."""
    living = [beat for beat in heartbeats(store) if not beat.holder.gone()]
    return [beat for beat in living if beat.name == name] or [
        beat for beat in living if len(name) >= SHOWN and beat.holder.driver.startswith(name)
    ]


def at_work(store: Store, name: str) -> list[Holder]:
    """The drivers of a study that live for certain: one of another machine is heard to beat first."""
    first = [beat for beat in drivers_of(store, name) if beat.name == name]
    until = time.monotonic() + STALE_S
    while first:
        marks = {beat.holder.driver: beat.mark for beat in heartbeats(store)}
        first = [beat for beat in first if beat.holder.driver in marks]
        beating = [b.holder for b in first if b.holder.here() or marks[b.holder.driver] != b.mark]
        if beating or time.monotonic() > until:
            return beating
        time.sleep(HEARTBEAT_S / 4)
    return []


# --- attach ---


def attach(name: str, url: str, as_json: bool, out: Console, err: Console) -> int:
    """Show a study as the terminal that started it does, to its end; its exit code. It goes on without us."""
    store = open_store(url)
    with objects(as_json) as writer:
        try:
            following = (
                _drawn(store, name, err) if writer is None and err.is_terminal else _said(store, name, writer, err)
            )
        except KeyboardInterrupt:
            say(err, f"\nno longer watched; {name} goes on. {again(name, url)}")
            return 130
        kept = following.end()
        if kept is None and not following.met:
            raise InputError(_nothing(store, name))
        kept = kept or Kept(driver="", end=_died(name))
        if writer is not None:
            writer.end(kept.end)
        return tell(kept, out, err)


def again(name: str, url: str) -> str:
    """How to come back to a study, from anywhere."""
    at = f"{name} --store {shlex.quote(url)}"
    return f"Watch: w2s attach {at}   end: w2s stop {at}"


def _said(store: Store, name: str, writer: Writer | None, err: Console) -> Following:
    """A line an event, until all drivers have ended."""
    heard: Heard = writer.told if writer is not None else lambda at, event: _say(err, at, event)
    following = Following(store, name, heard, err)
    while following.left:
        time.sleep(_every_s(store))
        following.look()
    return following


def _drawn(store: Store, name: str, err: Console) -> Following:
    """As a live view, which is told what runs now: of what was before, the numbers alone are known."""
    view = View(err, 0)
    following = Following(store, name, lambda at, event: None if isinstance(event, WaitEvent) else view(event), err)
    if following.left:
        with view:
            while following.left:
                _catch_up(view, store, [Told.of(one.beat.about) for one in following.left.values()])
                time.sleep(_every_s(store))
                following.look()
    return following


def _catch_up(view: View, store: Store, told: Sequence[Told]) -> None:
    """Several drivers of one study see the same cells, and each makes steps of its own."""
    most = {what: max(getattr(each, what) for each in told) for what in ("cells", "reused", "failed")}
    ended = max(each.cells_done + each.cells_failed for each in told)
    counts = {"done": sum(each.made for each in told), "hit": most["reused"], "failed": most["failed"]}
    running = {key: seconds for each in told for key, seconds in each.keys.items()}
    since_s = max(0.0, time.time() - max(each.began for each in told))
    view.catch_up(since_s, most["cells"], ended, counts, running)
    view(WaitEvent(next((each.waits_for for each in told if each.waits_for), "")))
    for key in running:
        view(ProgressEvent(key, parse_progress(store.read(progress_name(key)) or b"")))


def _every_s(store: Store) -> float:
    return min(HEARTBEAT_S, every_s(store))


def _died(name: str) -> End:
    said = f"{name} did not come to its end; what is finished is kept, and the same `w2s run` continues it"
    return End(name=name, status="failed", exit_code=1, error=said)


def tell(kept: Kept, out: Console, err: Console) -> int:
    """The end as the run itself told it."""
    end = kept.end
    if kept.shown:
        out.print(Text(kept.shown.rstrip("\n")), soft_wrap=True)
    if end.report:
        say(out, f"report: {end.report}   results: {end.results}")
    for failed in end.failures:
        say(err, f"w2s: {failed.error} [{failed.cells} cells]")
    if end.error:
        say(err, f"{end.name} {end.status}: {end.error}" if kept.driver else end.error)
    return end.exit_code


def _nothing(store: Store, name: str) -> str:
    living = [beat for beat in heartbeats(store) if not beat.holder.gone()]
    there = ", ".join(f"{beat.name} ({beat.holder.driver[:SHOWN]})" for beat in living) or "none"
    return (
        f"no driver of {name!r} works on {store.url}; there: {there} (what it has made: `w2s report {name}`; of a"
        " cluster's jobs: --address)"
    )


# --- logs and stop ---


def print_events(name: str, url: str, follow: bool, out: Console) -> int:
    """The latest events of a study's drivers, with their times."""
    store = open_store(url)
    following = Following(store, name, lambda at, event: _say(out, at, event), out)
    if not following.left:
        raise InputError(_nothing(store, name))
    while follow and following.left:
        time.sleep(HEARTBEAT_S)
        following.look()
    return 0


def _say(console: Console, at: float, event: Event) -> None:
    say(console, f"{time.strftime('%H:%M:%S', time.localtime(at))}  {in_words(event)}")


def stop_drivers(name: str, url: str, out: Console) -> int:
    """Ask them to stop; they look every few seconds."""
    store = open_store(url)
    asked = {beat.holder.driver for beat in drivers_of(store, name)}
    if not asked:
        raise InputError(_nothing(store, name))
    for driver in asked:
        store.write(stop_name(driver), b"")
    until, left = time.monotonic() + STOP_S, asked
    while left and time.monotonic() < until:
        time.sleep(0.5)
        left = asked & {beat.holder.driver for beat in heartbeats(store)}
    out.print(f"{len(asked) - len(left)} of {len(asked)} drivers of {name} have stopped", soft_wrap=True)
    return 1 if left else 0
