"""`w2s tune`: a search with a line a trial, and its best point at the end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from w2s_ray.cli.say import say
from w2s_ray.config.load import corners, load_study, searched
from w2s_ray.config.place import Place, joinable
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.core.errors import Interrupted
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.folders import written
from w2s_ray.engine.store import open_store
from w2s_ray.reports.event_lines import view_of
from w2s_ray.reports.search_report import BEST_FILE, PAGE, Searched
from w2s_ray.reports.wording import SELECTED
from w2s_ray.study.check import check_memory, check_names
from w2s_ray.study.results import check_writable
from w2s_ray.study.tuning import plan_search, run_plan
from w2s_ray.study.warnings import warnings_of_search

if TYPE_CHECKING:
    from w2s_ray.runtime.trials import Search

Stopping = Callable[[Callable[[], None]], AbstractContextManager[None]]


def tune_study(
    file: Path, sets: Sequence[str], place: Place, trials: int | None, timeout: float | None, concurrency: int,
    verbose: bool,
    out: Console, err: Console, stopping: Stopping,
) -> None:  # fmt: skip
    """Search, and print what was found."""
    if place.budget:
        warning = f"budget is {place.budget:g}, which counts for `run`; a search is bounded by --trials and --timeout"
        err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    study = load_study(file, sets, place.resources)
    searched(study)
    for there in (study, *corners(study)):
        check_names(there)
        check_memory(there)
    for warning in warnings_of_search(study):
        err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    store = open_store(place.store)
    store.probe()
    stopped = threading.Event()
    address, env = joinable(place.address), place.variables(os.environ)

    def launch(search: Search) -> None:
        from w2s_ray.runtime.cluster import Target
        from w2s_ray.runtime.trials import run_search

        search.stopped = stopped
        run_search(search, Target(address, verbose, env, place.autoscale))
        if stopped.is_set():
            raise Interrupted("the search was stopped; the same command continues it")

    def stop() -> None:
        stopped.set()
        context.interrupt()

    with (
        written(place.runs, f"{study.config.name}/search") as folder,
        Context(store, InlineExecutor, sinks=[view_of(err, 0)], name=study.config.name) as context,
        stopping(stop),
    ):
        check_writable(folder)
        context.leases.on_stop = stop
        planned = plan_search(study, context)
        wanted = trials or planned.spec.trials
        lines = _Lines(err, planned.spec, wanted)
        found = run_plan(planned, wanted, folder, launch, lines.told, timeout_s=timeout, concurrency=concurrency)
    _print(out, found, f"{place.runs}/{study.config.name}/search")


class _Lines:
    """A line a trial."""

    def __init__(self, console: Console, spec: SearchSpec, wanted: int) -> None:
        self.console, self.spec, self.wanted = console, spec, wanted
        self._started = time.monotonic()
        self._best: float | None = None

    def told(self, trial: Any) -> None:
        """From the experiment's thread."""
        state = trial.state.name.lower()
        values = ", ".join(
            f"{objective.label} {value:.4g}"
            for objective, value in zip(self.spec.objective, trial.values or (), strict=False)
        )
        point = "  ".join(
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in trial.params.items()
        )
        detail = values or str(trial.user_attrs.get("error", "behind the others"))
        colour = {"complete": "green", "pruned": "yellow", "fail": "red"}[state]
        text = Text.assemble(
            (f"{time.monotonic() - self._started:7.1f} s  ", "dim"),
            f"trial {trial.number} of {self.wanted} ",
            (state, colour),
            f": {detail}{self._mark(trial)}  ",
            (point, "dim"),
        )
        self.console.print(text, soft_wrap=True)

    def _mark(self, trial: Any) -> str:
        """Whether it is the best so far."""
        if len(self.spec.objective) > 1 or not trial.values:
            return ""
        gain = trial.values[0] * (1 if self.spec.objective[0].larger_is_better else -1)
        if self._best is not None and gain <= self._best:
            return ""
        self._best = gain
        return " (best so far)"


def _print(out: Console, found: Searched, folder: str) -> None:
    if not found.complete:
        say(out, f"no trial has ended yet; the same command goes on to {found.wanted}")
        return
    table = Table(
        box=None,
        pad_edge=False,
        title_justify="left",
        title=Text(
            f"{'best' if len(found.spec.objective) == 1 else 'Pareto front'} of {len(found.trials)} trials"
            f" ({', '.join(f'{n} {state}' for state, n in found.states.items())})"
        ),
    )
    for name in ("trial", *(objective.label for objective in found.spec.objective), *found.spec.space):
        table.add_column(name)
    for trial in found.front:
        point = found.point(trial)
        table.add_row(
            str(trial.number),
            *(f"{value:.4g}" for value in trial.values),
            *(_shown(point.get(key)) for key in found.spec.space),
        )
    say(out, table)
    say(out, f"Points were {SELECTED[found.select_on]}.")
    if len(found.trials) < found.wanted:
        say(out, f"{len(found.trials)} of {found.wanted} trials are made; the same command goes on")
    say(out, f"best: {folder}/{BEST_FILE}   report: {folder}/{PAGE}")


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
