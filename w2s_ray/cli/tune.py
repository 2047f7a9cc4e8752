"""`w2s tune`: a search with a line a trial, and its best point at the end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from w2s_ray.cli.pin import load_pinned
from w2s_ray.cli.say import as_text, say
from w2s_ray.config.load import corners, searched
from w2s_ray.config.place import Place, joinable
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.core.errors import Interrupted
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.folders import is_url, written
from w2s_ray.engine.store import open_store
from w2s_ray.reports.console import teller, warner
from w2s_ray.reports.ending import End, folder_of, kept
from w2s_ray.reports.event_lines import Recent, Writer, view_of
from w2s_ray.reports.pages.search import BEST_FILE
from w2s_ray.reports.search_files import HTML, PAGE
from w2s_ray.reports.searched import Searched
from w2s_ray.reports.wording import SELECTED
from w2s_ray.study.check import check_memory, check_names
from w2s_ray.study.devices import on_devices
from w2s_ray.study.results import BEGUN, ENDED, check_writable, write_state
from w2s_ray.study.trackers import trackers_of, tracking_of_search, trial_run
from w2s_ray.study.tuning import journal_of, plan_search, run_plan
from w2s_ray.study.warnings import warnings_of_search

if TYPE_CHECKING:
    from w2s_ray.runtime.trials import Search

Stopping = Callable[[Callable[[], None]], AbstractContextManager[None]]


def tune_study(
    file: Path, sets: Sequence[str], place: Place, trials: int | None, timeout: float | None, concurrency: int,
    verbose: bool, track: Sequence[str], writer: Writer | None, out: Console, err: Console, stopping: Stopping,
) -> None:  # fmt: skip
    """Search, and print what was found."""
    if place.budget:
        warning = f"budget is {place.budget:g}, which counts for `run`; a search is bounded by --trials and --timeout"
        warner(err)(warning)
    study = on_devices(load_pinned(file, sets, place.resources, err), place, teller(err), search=True)
    name = study.config.name
    if writer is not None:
        writer.name = name
    searched(study)
    trackers = trackers_of(study.config, place, track)
    for there in (study, *corners(study)):
        check_names(there)
        check_memory(there)
    for warning in warnings_of_search(study):
        warner(err)(warning)
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

    recent, view = Recent(), view_of(err, 0, writer)
    with (
        written(place.runs, f"{name}/search") as folder,
        Context(store, InlineExecutor, sinks=[view, recent], name=name, about=recent.about) as context,
        stopping(stop),
        kept(context) as keep,
    ):
        check_writable(folder)
        context.leases.on_stop = stop
        context.show()
        write_state(folder, BEGUN)
        planned = plan_search(study, context)
        wanted = trials or planned.spec.trials
        say(err, f"Optuna's journal: {journal_of(planned)}")
        lines = _Lines(err, planned.spec, wanted, writer)
        with tracking_of_search(planned, trackers, folder, not is_url(place.runs), warner(err)) as tracking:

            def told(trial: Any) -> None:
                lines.told(trial)
                tracking.trial(f"trial {trial.number}", trial_run(trial, planned.spec))

            found = run_plan(planned, wanted, folder, launch, told, timeout_s=timeout, concurrency=concurrency)
            ended = [trial for trial in found.trials if trial.state.is_finished()]
            runs = {f"trial {trial.number}": trial_run(trial, planned.spec) for trial in ended}
            tracking.searched(runs, [folder / PAGE, folder / HTML])
        write_state(folder, ENDED)
        end = _end(found, name, place.runs)
        keep(end, "\n".join(map(as_text, _shown_of(found))))
    for part in _shown_of(found):
        say(out, part)
    if found.complete:
        folder_shown = f"{place.runs}/{name}/search"
        say(out, f"best: {folder_shown}/{BEST_FILE}   report: {folder_shown}/{HTML} (and .md)")
    if writer is not None:
        writer.end(end)


class _Lines:
    """A line a trial."""

    def __init__(self, console: Console, spec: SearchSpec, wanted: int, writer: Writer | None) -> None:
        self.console, self.spec, self.wanted, self._writer = console, spec, wanted, writer
        self._started = time.monotonic()
        self._best: float | None = None

    def told(self, trial: Any) -> None:
        """From the experiment's thread."""
        state = trial.state.name.lower()
        numbers = dict(zip((objective.label for objective in self.spec.objective), trial.values or (), strict=False))
        if self._writer is not None:
            self._writer.trial(trial.number, state, numbers, trial.params)
        values = ", ".join(f"{label} {value:.4g}" for label, value in numbers.items())
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


def _end(found: Searched, name: str, runs: str) -> End:
    """How a search ended, with its best points in the place of a table's rows."""
    folder = f"{folder_of(runs, name)}/search"
    best = [
        {"trial": t.number, **dict(zip((o.label for o in found.spec.objective), t.values, strict=True))}
        | {"point": found.point(t)}
        for t in (found.front if found.complete else ())
    ]
    there = {"report": f"{folder}/{PAGE}", "results": f"{folder}/{BEST_FILE}"} if found.complete else {}
    return End(name=name, status="done", exit_code=0, summary=tuple(best), **there)


def _shown_of(found: Searched) -> Iterator[str | Table]:
    """What is printed at the end."""
    if not found.complete:
        yield f"no trial has ended yet; the same command goes on to {found.wanted}"
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
    yield table
    yield f"Points were {SELECTED[found.select_on]}."
    if len(found.trials) < found.wanted:
        yield f"{len(found.trials)} of {found.wanted} trials are made; the same command goes on"


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
