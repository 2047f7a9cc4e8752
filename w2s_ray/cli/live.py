"""What a run shows while it goes: a table that moves on a terminal, one line per event elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from w2s_ray.config.schema import Cell
from w2s_ray.engine.context import What
from w2s_ray.engine.fingerprint import Key

SHOWN = 8  # running steps on the screen
SMALL = ("prepare", "score", "collect")  # steps of which only the end is worth a line
REFRESH_PER_S = 4


class View:
    """Listens to the engine (steps) and to the runner (cells). Called from their threads."""

    def __init__(self, console: Console, num_cells: int) -> None:
        self.console = console
        self._lock = threading.Lock()
        self._running: dict[Key, float] = {}
        self._waiting: dict[Key, str] = {}
        self._counts: Counter[str] = Counter()
        self._ended = 0
        self._num_cells = num_cells
        self._started = time.monotonic()
        self._bar = Progress(
            TextColumn("cells"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._bar.add_task("cells", total=num_cells)
        self._live = (
            Live(get_renderable=self._render, console=console, refresh_per_second=REFRESH_PER_S, transient=True)
            if console.is_terminal
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

    def step(self, what: What, key: Key, detail: str) -> None:
        """An event of the engine."""
        with self._lock:
            took = time.monotonic() - self._running.pop(key, time.monotonic())
            self._waiting.pop(key, None)
            if what == "running":
                self._running[key] = time.monotonic()
            elif what in ("queued", "leased"):
                self._waiting[key] = detail
            self._counts[what] += 1
        if what in ("failed", "damaged", "leased"):
            self._say((what, "red" if what == "failed" else "yellow"), f" {key}: {detail}")
        elif not self._live and (
            (what == "running" and key.step not in SMALL) or (what == "done" and took > 0)
        ):  # riders end with their step
            self._say(f"{what} {key}" + (f" ({took:.1f} s)" if what == "done" else ""))

    def cell(self, cell: Cell, status: str) -> None:
        """An event of the runner."""
        if status == "running":
            return
        with self._lock:
            self._ended += 1
        self._bar.advance(self._task)
        if not self._live and self._counts["done"]:
            self._say(
                f"cell {status}: {cell.method_label}, {cell.task_label}, {cell.config.models.weak} ->"
                f" {cell.config.models.strong}, seed {cell.seed} ({self._ended}/{self._num_cells})"
            )

    def _say(self, *parts: str | tuple[str, str]) -> None:
        """A line with the time before it; a part may bring its style."""
        self.console.print(
            Text.assemble((f"{time.monotonic() - self._started:7.1f} s  ", "dim"), *parts), soft_wrap=True
        )

    def _render(self) -> Group:
        now = time.monotonic()
        with self._lock:
            running = sorted(self._running.items(), key=lambda item: item[1])
            waiting = Counter(self._waiting.values()).most_common(1)
            num_waiting, counts, ended = len(self._waiting), dict(self._counts), self._ended
        lines = [Text(f"  running {key}  {now - since:.0f} s") for key, since in running[:SHOWN]]
        if len(running) > SHOWN:
            lines.append(Text(f"  … and {len(running) - SHOWN} more"))
        if num_waiting:
            lines.append(Text(f"  waiting {num_waiting}: {waiting[0][0]}", style="dim"))
        lines.append(
            Text(
                f"  steps made {counts.get('done', 0)}, reused {counts.get('hit', 0)}, failed"
                f" {counts.get('failed', 0)}{self._eta(now, ended)}",
                style="dim",
            )
        )
        return Group(self._bar, *lines)

    def _eta(self, now: float, ended: int) -> str:
        if not 0 < ended < self._num_cells:
            return ""
        left = (now - self._started) / ended * (self._num_cells - ended)
        return f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"
