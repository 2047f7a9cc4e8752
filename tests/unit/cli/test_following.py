"""Runs that are followed by their store: drivers that beat, end, die or fall silent, made by hand."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from rich.console import Console

from w2s_ray.cli import following, status
from w2s_ray.cli.following import Following, Told, at_work, attach, print_events
from w2s_ray.cli.status import print_status
from w2s_ray.core.errors import BudgetSpent, InputError
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import CellEvent, Event, StepEvent
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import Holder
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.ending import End, Kept, kept
from w2s_ray.reports.event_lines import Recent
from w2s_ray.reports.live import View

KEYS = [Key("train", f"m{n}", f"{n:064x}") for n in range(4)]
CELL = CellEvent({"method": "naive", "seed": 0}, "done")


class Driver:
    """One that beats when it is told to."""

    def __init__(self, store: Store, name: str = "small", holder: Holder | None = None) -> None:
        self.store, self.name, self.holder = store, name, holder or Holder.me()
        self.recent, self.count = Recent(num_cells=2), 0

    def beat(self, *events: Event, **about: object) -> None:
        for event in events:
            self.recent(event)
        self.count += 1
        about = {"name": self.name, **self.recent.about(), **about}
        self.store.write(f"drivers/{self.holder.driver}", self.holder.dumps(count=self.count, about=about))

    def end(self, code: int = 0) -> None:
        end = End(name=self.name, status="done" if code == 0 else "failed", exit_code=code)
        one = Kept(driver=self.holder.driver, end=end, shown="a table\n")
        self.store.write(following_name(self.name), one.model_dump_json().encode())
        self.store.remove(f"drivers/{self.holder.driver}")


def following_name(name: str) -> str:
    from w2s_ray.reports.ending import _name

    return _name(name)


def elsewhere() -> Holder:
    """A driver of another machine, of which only its heartbeat is known."""
    return replace(Holder.me(), machine="another one")


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STALE_S", 0.3)
    monkeypatch.setattr(following, "HEARTBEAT_S", 0.05)


def console() -> Console:
    return Console(file=io.StringIO(), width=200, color_system=None)


def text(of: Console) -> str:
    return of.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_each_event_is_heard_once_and_a_cell_of_several_drivers_too(store: Store) -> None:
    one, other = Driver(store), Driver(store)
    one.beat(StepEvent("running", KEYS[0]))
    other.beat(StepEvent("leased", KEYS[0], "another driver is making it"))
    heard: list[Event] = []
    follows = Following(store, "small", lambda at, event: heard.append(event), console())
    assert len(follows.left) == 2
    one.beat(StepEvent("done", KEYS[0]), CELL)
    other.beat(CELL)
    follows.look()
    follows.look()
    assert [event.what for event in heard if isinstance(event, StepEvent)].count("running") == 1
    assert heard.count(CELL) == 1
    late = Driver(store)
    late.beat(StepEvent("running", KEYS[1]))
    follows.look()
    assert heard[-1] == StepEvent("running", KEYS[1]), "one that joins is followed too"
    one.end()
    follows.look()
    assert set(follows.left) == {other.holder.driver, late.holder.driver}


def test_a_silent_driver_elsewhere_counts_as_dead_and_how_to_continue_is_said(store: Store, quick: None) -> None:
    Driver(store, holder=elsewhere()).beat()
    out, err = console(), console()
    assert attach("small", store.url, False, out, err) == 1
    assert "has been silent for 0 s: it counts as dead" in text(err)
    assert "did not come to its end" in text(err) and "`w2s run` continues it" in text(err)


def test_one_that_dies_while_another_one_ends_the_study_costs_nothing(store: Store, quick: None) -> None:
    dead, living = Driver(store, holder=replace(Holder.me(), pid=2**22 + 1)), Driver(store)
    living.beat()
    dead.beat()
    heard: list[float] = []
    follows = Following(store, "small", lambda at, event: heard.append(at), console())
    assert list(follows.left) == [living.holder.driver]
    living.end()
    follows.look()
    assert not follows.left
    out = console()
    assert attach("small", store.url, False, out, console()) == 0
    assert text(out) == "a table\n"


def test_a_death_after_the_last_end_is_told(store: Store) -> None:
    Driver(store).end()
    time.sleep(0.01)
    Driver(store, holder=replace(Holder.me(), pid=2**22 + 1)).beat()
    err = console()
    assert attach("small", store.url, False, console(), err) == 1
    assert "is gone" in text(err) and "continues it" in text(err)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 9999, b'{"driver": 3}', b'{"driver": "x", "end": {}}'])
def test_an_end_that_cannot_be_read_is_none(store: Store, data: bytes) -> None:
    store.write(following_name("small"), data)
    assert Kept.of(store, "small") is None
    with pytest.raises(InputError, match="w2s report small"):
        attach("small", store.url, False, console(), console())


@pytest.mark.parametrize(
    "about",
    [{"running": 3}, {"cells": -1}, {"made": "x"}, {"began": float("nan")}, {"running": {"../../etc": 1.0}},
     {"waits_for": ["x"]}, {"events": "x"}],
)  # fmt: skip
def test_a_heartbeat_of_anybody_is_looked_at_without_harm(store: Store, about: dict[str, object]) -> None:
    driver = Driver(store)
    driver.beat(**about)
    follows = Following(store, "small", lambda at, event: None, console())
    assert len(follows.left) == 1
    assert Told.of({"name": "small", **about}).keys == {}
    print_status(shown := console(), store.url, "runs")
    assert "driver " in text(shown)


def test_logs_are_the_events_with_their_times(store: Store) -> None:
    Driver(store).beat(StepEvent("running", KEYS[0]))
    out = console()
    assert print_events("small", store.url, False, out) == 0
    assert text(out)[8:].strip() == f"running {KEYS[0]}"


def test_a_driver_elsewhere_is_at_work_when_it_beats_and_not_before(store: Store, quick: None) -> None:
    driver = Driver(store, holder=elsewhere())
    driver.beat()
    assert at_work(store, "small") == []
    assert at_work(store, "other") == []
    real = following.heartbeats

    def beating(there: Store) -> list[following.Heartbeat]:
        driver.beat()
        return real(there)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "heartbeats", beating)
        assert at_work(store, "small") == [driver.holder]
    mine = Driver(store)
    mine.beat()
    assert at_work(store, "small") == [mine.holder]


def test_a_view_that_comes_late_shows_what_is_now(store: Store) -> None:
    view = View(Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None), 0)
    same = {"began": time.time() - 60, "cells": 4, "cells_done": 2, "reused": 3, "waits_for": "2 steps wait"}
    one, other = (
        Told.of({**same, "made": made, "running": {key.full: 12.0}}) for made, key in ((5, KEYS[0]), (2, KEYS[1]))
    )
    store.write(f"{KEYS[0].path}/work/progress.json", json.dumps({"step": 3, "steps": 9, "loss": 0.5}).encode())
    following._catch_up(view, store, [one, other])
    screen = Console(file=io.StringIO(), width=100, color_system=None)
    screen.print(view._render())
    lines = [line.strip() for line in text(screen).splitlines()]
    assert "2/4 0:01:00" in lines[0]
    assert lines[1].startswith(f"running {KEYS[0]}  12 s, step 3 of 9, loss 0.5")
    assert lines[2] == f"running {KEYS[1]}  12 s"
    assert lines[3:] == ["waiting: 2 steps wait", "steps made 7, reused 3, failed 0, about 60 s left"]


def test_an_end_is_kept_before_the_heartbeat_goes(store: Store) -> None:
    with pytest.raises(BudgetSpent), Context(store, InlineExecutor, name="small") as context:
        context.show()
        with kept(context):
            assert at_work(store, "small") == [context.leases.holder]
            raise BudgetSpent("the budget is spent")
    found = Kept.of(store, "small")
    assert found is not None
    assert (found.driver, found.end.exit_code) == (context.leases.holder.driver, 3)
    assert at_work(store, "small") == []


# --- status, for programs and for watching ---


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Callable[[], None]]], None]:
    """What happens between the looks of a watch; Ctrl-C after the last."""

    def given(happens: list[Callable[[], None]]) -> None:
        left = iter(happens)

        def sleep(seconds: float) -> None:
            try:
                next(left)()
            except StopIteration:
                raise KeyboardInterrupt from None

        monkeypatch.setattr(status.time, "sleep", sleep)

    return given


def test_a_watch_prints_what_is_new_and_ends_with_ctrl_c(
    store: Store, tmp_path: Path, looks: Callable[[list[Callable[[], None]]], None]
) -> None:
    driver = Driver(store)
    driver.beat()
    looks([driver.beat, lambda: driver.beat(made=3), driver.beat, driver.end])
    out = console()
    print_status(out, store.url, str(tmp_path / "runs"), as_json=True, watch=True)
    told = [json.loads(line)["drivers"] for line in text(out).splitlines()]
    made = [[one["made"] for one in drivers] for drivers in told]
    # On a slow machine a driver's age may be new where nothing else is.
    assert [one for one, _ in groupby(made)] == [[0], [3], [0], []]


def test_a_watch_on_a_terminal_redraws(store: Store, looks: Callable[[list[Callable[[], None]]], None]) -> None:
    Driver(store).beat()
    looks([lambda: None])
    out = Console(file=io.StringIO(), width=100, height=20, force_terminal=True)
    print_status(out, store.url, "runs", watch=True)
    assert text(out).count("small: driver") == 2
