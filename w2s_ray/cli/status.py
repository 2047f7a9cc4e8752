"""`w2s status`: studies that have run, drivers that work on the store, steps that they have leased, and the latest
failures; as tables for people, or as one object for programs."""

from __future__ import annotations

import calendar
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from w2s_ray.cli.following import SHOWN, Told
from w2s_ray.cli.say import say
from w2s_ray.core.errors import DamagedArtifact, IdentityError, InputError
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.folders import is_url, readable
from w2s_ray.engine.lease import STALE_S, Holder, heartbeats, key_of
from w2s_ray.engine.record import Failure
from w2s_ray.engine.store import Store, open_store
from w2s_ray.engine.usage import usage
from w2s_ray.reports.file import read_results
from w2s_ray.reports.schema import Results
from w2s_ray.reports.wording import STATES

FAILURES = 10
STEPS = 6  # that are named with their size
WATCH_S = 3.0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class GapRow(_Part):
    """Gap recovered by one method on one task and pair of models."""

    method: str = Field(description="name of the method in the study")
    task: str = Field(description="name of the task")
    weak: str = Field(description="the weak teacher's model")
    strong: str = Field(description="the strong model")
    median: float | None = Field(description="median over seeds; null where no seed has a gap")
    low: float | None = Field(description="lower end of its 95 % interval")
    high: float | None = Field(description="upper end of it")
    seeds: int = Field(description="scored seeds")


class RunLine(_Part):
    """A study that has run."""

    name: str = Field(description="name of the study")
    results: str = Field(description="its results.json")
    ended: float = Field(description="when that was written, in seconds since 1970")
    seconds: float = Field(description="how long the run took")
    cells: int = Field(description="how many it has")
    statuses: dict[str, int] = Field(description="status -> how many cells have it")
    made: int = Field(description="steps that the run made")
    reused: int = Field(description="steps that it found")
    gap_recovered: list[GapRow] = Field(description="one entry a method, task and pair of models")


class DriverLine(_Part):
    """A driver that is not known to be dead. Of one on another machine that cannot be seen at a glance."""

    driver: str = Field(description="its id")
    name: str = Field(description="of the study that it runs; empty where it has none")
    process: int = Field(description="its process")
    here: bool = Field(description="whether that is alive on this machine")
    began: float = Field(description="when, in seconds since 1970; 0 where it is not known")
    cells: int = Field(description="of the study; 0 for a search")
    cells_done: int = Field(description="that have ended well")
    cells_failed: int = Field(description="that have failed")
    made: int = Field(description="steps that it made")
    reused: int = Field(description="steps that it found")
    failed: int = Field(description="steps that failed, or were skipped for it")
    running: dict[str, float] = Field(description="keys of the steps that run longest, with their seconds")
    waiting: int = Field(description="steps that wait for devices")
    waits_for: str = Field(description="what those wait for, and who has it")
    device_hours: float = Field(description="what it has spent")


class LeaseLine(_Part):
    """A step that a driver has leased."""

    key: str = Field(description="of the step")
    driver: str = Field(description="its driver's id")
    process: int = Field(description="its driver's process")
    state: Literal["working", "dead"] = Field(description="`dead`: the next run takes it over")


class FailureLine(_Part):
    """A step whose latest attempt failed."""

    key: str = Field(description="of the step")
    error: str = Field(description="why, in a line or more")
    at: float = Field(description="when, in seconds since 1970")


class DiskLine(_Part):
    """What a store holds."""

    total: int = Field(description="bytes")
    free: int | None = Field(description="bytes free on its disk; null of a store elsewhere")
    artifacts: dict[str, int] = Field(description="step -> how many it has")
    bytes: dict[str, int] = Field(description="step -> bytes, the most first")


class Status(_Part):
    """What `w2s status --json` prints."""

    version: Literal[1] = Field(1, alias="w2s", description="version of this object")
    kind: Literal["status"] = Field("status", description="of object")
    store: str = Field(description="the store that was looked at")
    runs: list[RunLine] = Field(description="studies that have run, by name")
    unreadable: list[str] = Field(description="results that cannot be read; `w2s run` of their study writes them again")
    disk: DiskLine = Field(description="what the store holds")
    drivers: list[DriverLine] = Field(description="who works on the store")
    leases: list[LeaseLine] = Field(description="steps that are being made")
    failures: list[FailureLine] = Field(description="the latest ten, the latest first")


def status_of(store_url: str, runs: Path) -> Status:
    """A look at a store and at the folders of its runs."""
    store = open_store(store_url)
    found, unreadable = _runs(runs)
    return Status(
        store=store.url, runs=found, unreadable=unreadable, disk=_disk(store),
        drivers=list(_drivers(store)), leases=list(_leases(store)),
        failures=sorted(_failures(store), key=lambda one: one.at, reverse=True)[:FAILURES],
    )  # fmt: skip


def print_status(console: Console, store_url: str, runs: str, *, as_json: bool = False, watch: bool = False) -> None:
    """Once, or until Ctrl-C."""
    if not watch:
        _print(console, _look(store_url, runs), runs, as_json)
        return
    with suppress(KeyboardInterrupt):
        if console.is_terminal and not as_json:
            _redraw(console, store_url, runs)
        else:
            _print_anew(console, store_url, runs, as_json)


def _look(store_url: str, runs: str) -> Status:
    folder = readable(runs)
    try:
        return status_of(store_url, folder)
    finally:
        if is_url(runs):
            shutil.rmtree(folder, ignore_errors=True)


def _redraw(console: Console, store_url: str, runs: str) -> None:
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            clock = Text(time.strftime("%H:%M:%S  (Ctrl-C ends)"), style="dim")
            live.update(Group(clock, *_shown(_look(store_url, runs), runs)), refresh=True)
            time.sleep(WATCH_S)


def _print_anew(console: Console, store_url: str, runs: str, as_json: bool) -> None:
    """Where something has changed that is more than the time that passes."""
    before = None
    while True:
        found = _look(store_url, runs)
        now = found.model_dump(exclude={"drivers": {"__all__": {"device_hours"}}})
        for driver in now["drivers"]:
            driver["running"] = sorted(driver["running"])
        if now != before:
            if not as_json:
                say(console, f"{'' if before is None else chr(10)}{time.strftime('%H:%M:%S')}")
            _print(console, found, runs, as_json)
        before = now
        time.sleep(WATCH_S)


def _print(console: Console, found: Status, runs: str, as_json: bool) -> None:
    if as_json:
        console.file.write(json.dumps(found.model_dump(mode="json", by_alias=True), allow_nan=False) + "\n")
        console.file.flush()
        return
    for part in _shown(found, runs):
        console.print(part, soft_wrap=isinstance(part, Text), markup=False, highlight=False)


# --- what there is ---


def _runs(runs: Path) -> tuple[list[RunLine], list[str]]:
    found, unreadable = [], []
    for path in sorted(runs.glob("*/results.json")):
        try:
            found.append(_run(path, read_results(str(path.parent), runs)))
        except InputError:
            unreadable.append(str(path))
    return found, unreadable


def _run(path: Path, results: Results) -> RunLine:
    states: list[str] = [cell.status for cell in results.cells]
    return RunLine(
        name=results.name, results=str(path), ended=round(path.stat().st_mtime, 3), seconds=results.seconds,
        cells=len(states), statuses={one: states.count(one) for one in STATES},
        made=results.steps.executed, reused=results.steps.reused,
        gap_recovered=[
            GapRow(
                method=row.method, task=row.task, weak=row.weak, strong=row.strong,
                median=row.pgr.median, low=row.pgr.low, high=row.pgr.high, seeds=row.num_seeds,
            )
            for row in results.summary
        ],
    )  # fmt: skip


def _disk(store: Store) -> DiskLine:
    used = dict(sorted(usage(store).items(), key=lambda item: -item[1].size))
    return DiskLine(
        total=sum(each.size for each in used.values()),
        free=shutil.disk_usage(store.root).free if store.local and used else None,
        artifacts={step: each.artifacts for step, each in used.items()},
        bytes={step: each.size for step, each in used.items()},
    )


def _drivers(store: Store) -> Iterator[DriverLine]:
    for beat in heartbeats(store):
        if not beat.holder.gone():
            holder, told = beat.holder, Told.of(beat.about)
            running = {str(key): seconds for key, seconds in told.keys.items()}
            facts = told.model_dump(exclude={"running"})
            yield DriverLine(driver=holder.driver, process=holder.pid, here=holder.here(), running=running, **facts)


def _leases(store: Store) -> Iterator[LeaseLine]:
    for path in sorted(store.fs.glob(f"{store.root}/leases/[!.]*")):
        data = store.read(f"leases/{Path(path).name}")
        if data is None:
            continue  # given back just now
        holder = Holder.loads(data)
        dead = holder.gone() or store.read(f"drivers/{holder.driver}") is None
        yield LeaseLine(
            key=str(key_of(data) or Path(path).name), driver=holder.driver, process=holder.pid,
            state="dead" if dead else "working",
        )  # fmt: skip


def _failures(store: Store) -> Iterator[FailureLine]:
    for path in store.fs.glob(f"{store.root}/*/*/failure.json"):
        try:
            failure = Failure.loads(store.read(path.removeprefix(f"{store.root}/")) or b"")
            key = Key.parse(failure.key)
            if store.has(key):
                continue
        except (ValueError, IdentityError, DamagedArtifact):
            continue  # it tells nothing, and the next run writes it anew
        at = calendar.timegm(time.strptime(failure.made_at, "%Y-%m-%dT%H:%M:%SZ"))
        yield FailureLine(key=str(key), error=failure.error, at=at)


# --- for people ---


def _shown(found: Status, runs: str) -> Iterator[RenderableType]:
    """Short tables: studies, the store's disk, drivers, leases, failures."""
    for path in found.unreadable:
        yield Text(f"{path} cannot be read; `w2s run` of its study writes it again")
    yield _run_table(found.runs) if found.runs else Text(f"no finished study in {runs}/")
    if found.disk.total:
        yield Text(_disk_line(found.store, found.disk))
    yield from map(Text, map(_driver_line, found.drivers))
    for lease in found.leases:
        state = "dead: the next run takes over" if lease.state == "dead" else "working"
        yield Text(f"{state}: {lease.key} (process {lease.process}; silent for {STALE_S:.0f} s counts as dead)")
    for failure in found.failures:
        yield Text(f"failed {max(time.time() - failure.at, 0) / 60:.0f} min ago: {failure.key}: {failure.error}")


def _run_table(runs: list[RunLine]) -> Table:
    """With the ways in which cells have ended here; `ok` in any case."""
    states = [state for state in STATES if state == "ok" or any(run.statuses[state] for run in runs)]
    columns = ("study", "cells", *(STATES[state] for state in states), "steps made", "reused", "seconds")
    table = Table(*columns, box=None, pad_edge=False)
    for run in runs:
        counts = (run.cells, *(run.statuses[state] for state in states), run.made, run.reused)
        table.add_row(Text(run.name), *map(str, counts), f"{run.seconds:.1f}")
    return table


def _disk_line(store: str, disk: DiskLine) -> str:
    """The largest steps first, and how much room is left."""
    steps = [f"{step} {disk.artifacts[step]} with {_in_bytes(size)}" for step, size in disk.bytes.items()]
    more = f", {len(steps) - STEPS} more steps" if len(steps) > STEPS else ""
    free = "" if disk.free is None else f", {_in_bytes(disk.free)} free on its disk"
    return f"{store}: {_in_bytes(disk.total)}{free}; {', '.join(steps[:STEPS])}{more}"


def _in_bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _driver_line(one: DriverLine) -> str:
    counts = f"{one.made} made, {one.reused} reused, {one.failed} failed"
    cells = f"{one.cells_done + one.cells_failed} of {one.cells} cells; " if one.cells else ""
    hours = f"; {one.device_hours:.2g} device-hours" if one.device_hours else ""
    waits = f"; {one.waits_for}" if one.waits_for else ""
    running = ", ".join(one.running) or "nothing now"
    name = one.name or "a run without a name"
    head = f"{name}: driver {one.driver[:SHOWN]}, process {one.process}"
    return f"{head}: {cells}{counts}{hours}; running {running}{waits}"
