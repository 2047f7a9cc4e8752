"""What a run shows while it goes: a table that moves on a terminal, one line per event elsewhere."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports.console import Terminal

SHOWN = 8  # running steps on the screen
SMALL = ("prepare", "score", "collect")  # steps of which only the end is worth a line
REFRESH_PER_S = 4
SAY_S = 60.0  # between lines on the progress of one step, where there is no terminal


@dataclass
class _Running:
    """A step on the screen."""

    since: float
    progress: Mapping[str, float] = field(default_factory=dict)
    said: float = 0.0  # when a line told of it

    def shown(self, now: float) -> str:
        """`41 s, step 120 of 300, loss 0.412, about 60 s left`."""
        told, step, steps = self.progress, self.progress.get("step", 0.0), self.progress.get("steps", 0.0)
        parts = [f"{now - self.since:.0f} s"]
        if 0 < step <= steps:
            parts.append(f"step {step:.0f} of {steps:.0f}")
        if "loss" in told:
            parts.append(f"loss {told['loss']:.3g}")
        if 0 < step < steps:
            parts.append(f"about {_duration((now - self.since) / step * (steps - step))} left")
        return ", ".join(parts)


class View:
    """A sink of events (`engine/events.py`), called from several threads."""

    def __init__(self, console: Console, num_cells: int, *, live: bool = True) -> None:
        self.console = console
        self._lock = threading.Lock()
        self._running: dict[Key, _Running] = {}
        self._waiting: dict[Key, str] = {}
        self._counts: Counter[str] = Counter()
        self._ended = 0
        self._why, self._said_why = "", time.monotonic()  # what waits for devices; when a line told of it
        self._num_cells = num_cells
        self._started = time.monotonic()
        self._bar = Progress(
            TextColumn("cells"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._bar.add_task("cells", total=num_cells)
        self._live = (
            Live(get_renderable=self._render, console=console, refresh_per_second=REFRESH_PER_S, transient=True)
            if live and console.is_terminal
            else None
        )

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepEvent):
            self._step(event)
        elif isinstance(event, ProgressEvent):
            self._progress(event)
        elif isinstance(event, WaitEvent):
            self._wait(event)
        else:
            self._cell(event)

    def catch_up(
        self, since_s: float, num_cells: int, ended: int, counts: Mapping[str, int], running: Mapping[Key, float]
    ) -> None:
        """Take over what a run tells of itself, with how many seconds it and each step have run: not all of its events
        were heard."""
        now = time.monotonic()
        with self._lock:
            self._started = now - since_s
            self._num_cells, self._ended, self._counts = num_cells, ended, Counter(counts)
            before = self._running
            self._running = {key: before.get(key) or _Running(now - took, said=now) for key, took in running.items()}
            self._waiting.clear()
        self._bar.update(self._task, total=num_cells, completed=ended)
        self._bar.tasks[0].start_time = self._bar.get_time() - since_s

    def _step(self, event: StepEvent) -> None:
        what, key = event.what, event.key
        with self._lock:
            now = time.monotonic()
            ended = self._running.pop(key, None)
            took = now - ended.since if ended else 0.0
            self._waiting.pop(key, None)
            if what == "running":
                self._running[key] = _Running(now, said=now)
            elif what in ("queued", "leased"):
                self._waiting[key] = event.detail
            self._counts[what] += 1
        if what in ("failed", "damaged", "leased"):
            self._say((what, "red" if what == "failed" else "yellow"), f" {key}: {event.detail}")
        elif not self._live and (
            (what == "running" and key.step not in SMALL) or (what == "done" and took > 0)
        ):  # riders end with their step
            self._say(f"{what} {key}" + (f" ({took:.1f} s)" if what == "done" else ""))

    def _progress(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        with self._lock:
            running = self._running.get(event.key)
            if running is None:
                return
            running.progress = event.progress
            say = not self._live and now - running.said >= SAY_S
            running.said = now if say else running.said
        if say:
            self._say(f"running {event.key}: {running.shown(now)}")

    def _wait(self, event: WaitEvent) -> None:
        now = time.monotonic()
        with self._lock:
            self._why = event.why
            say = not self._live and bool(event.why) and now - self._said_why >= SAY_S
            self._said_why = now if say else self._said_why
        if say:
            self._say(event.why)

    def _cell(self, event: CellEvent) -> None:
        if event.status == "running":
            return
        with self._lock:
            self._ended += 1
        self._bar.advance(self._task)
        if not self._live and self._counts["done"]:
            names = {name: event.names.get(name, "?") for name in ("method", "task", "weak", "strong", "seed")}
            cell = "{method}, {task}, {weak} -> {strong}, seed {seed}".format(**names)
            self._say(f"cell {event.status}: {cell} ({self._ended}/{self._num_cells})")

    def _say(self, *parts: str | tuple[str, str]) -> None:
        """A line with the time before it; a part may bring its style."""
        self.console.print(
            Text.assemble((f"{time.monotonic() - self._started:7.1f} s  ", "dim"), *parts), soft_wrap=True
        )

    def picture(self, width: int) -> str:
        """What a terminal of this width would show now."""
        out = io.StringIO()
        Terminal(file=out, width=width, force_jupyter=False).print(self._render())
        return out.getvalue()

    def in_a_line(self, name: str) -> str:
        """What has happened, for where the picture is no longer looked at."""
        with self._lock:
            ended, counts = self._ended, dict(self._counts)
        took = _duration(time.monotonic() - self._started)
        return f"{name}: {ended} of {self._num_cells} cells in {took}; {_steps(counts)}"

    def _render(self) -> Group:
        now = time.monotonic()
        with self._lock:
            running = sorted(self._running.items(), key=lambda item: item[1].since)
            waiting = Counter(self._waiting.values()).most_common(1)
            num_waiting, counts, ended, why = len(self._waiting), dict(self._counts), self._ended, self._why
        lines = [Text(f"  running {key}  {step.shown(now)}") for key, step in running[:SHOWN]]
        if len(running) > SHOWN:
            lines.append(Text(f"  … and {len(running) - SHOWN} more"))
        if num_waiting or why:
            count = f" {num_waiting}" if num_waiting else ""
            lines.append(Text(f"  waiting{count}: {why or waiting[0][0]}", style="dim"))
        lines.append(
            Text(
                f"  {_steps(counts)}{self._eta(now, ended)}",
                style="dim",
            )
        )
        return Group(self._bar, *lines)

    def _eta(self, now: float, ended: int) -> str:
        if not 0 < ended < self._num_cells:
            return ""
        return f", about {_duration((now - self._started) / ended * (self._num_cells - ended))} left"


def _steps(counts: Mapping[str, int]) -> str:
    return f"steps made {counts.get('done', 0)}, reused {counts.get('hit', 0)}, failed {counts.get('failed', 0)}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
