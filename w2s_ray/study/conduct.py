"""A study from its checks to the files of its run: what `w2s run` and `w2s_ray.run` do alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import Sink
from w2s_ray.engine.executor import Executor
from w2s_ray.engine.folders import is_url, written
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.event_lines import Recent
from w2s_ray.study.check import check_machine, check_memory, check_names
from w2s_ray.study.executor import executor_of
from w2s_ray.study.fits import fits_of
from w2s_ray.study.results import (
    BEGUN,
    ENDED,
    build_results,
    check_writable,
    write_keys,
    write_looks,
    write_results,
    write_state,
)
from w2s_ray.study.run import collect, run_cells
from w2s_ray.study.trackers import trackers_of, tracking_of
from w2s_ray.study.warnings import warnings_of
from w2s_ray.trackers.tracking import FITS, Tracking

REPORTS = ("report.md", "report.html")

Found = dict[str, Any]  # what results.json says
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Caller:
    """Who has a study run, and what is done for it meanwhile."""

    view: AbstractContextManager[Sink]  # shows what happens
    warn: Tell
    around: Callable[[Context], AbstractContextManager[Callable[[Found], None]]]  # stops it, and keeps how it ended
    show: Callable[[Found], None] = lambda found: None  # before the pages are drawn, which takes seconds


def check_study(study: Study, folder: Path, warn: Tell) -> None:
    """Refuse, before anything is computed, what can be refused by then; say what is probably not meant."""
    check_names(study)
    check_memory(study)
    for warning in warnings_of(study):
        warn(warning)
    check_writable(folder)


def conduct(
    study: Study, place: Place, caller: Caller, *, track: Sequence[str] = (), local: bool = False, verbose: bool = False
) -> Found:
    """Check a study, compute what the store does not have, write the run's folder, tell its trackers (with those that
    are named in `track`)."""
    trackers = trackers_of(study.config, place, track)
    store = open_store(place.store)
    executor = executor_of(place, store.url, local, verbose, lambda: check_machine(study))
    with written(place.runs, study.config.name) as folder:
        check_study(study, folder, caller.warn)
        tracking = tracking_of(study, trackers, store.url, folder, not is_url(place.runs), caller.warn)
        return _computed(study, store, executor, folder, place, tracking, caller)


def _computed(
    study: Study, store: Store, executor: Callable[[], Executor], folder: Path, place: Place, tracking: Tracking,
    caller: Caller,
) -> Found:  # fmt: skip
    started = time.perf_counter()
    recent = Recent(len(study.cells))
    with tracking:
        with (
            caller.view as view,
            Context(
                store, executor, sinks=[view, recent, tracking], read_only=store.read_only(), name=study.config.name,
                budget_h=place.budget, about=recent.about,
            ) as context,
            caller.around(context) as keep,
        ):  # fmt: skip
            context.show()
            tracking.params = context.params_of
            write_state(folder, BEGUN)
            runs = run_cells(study, context)
            collected = collect(study, context, runs)
            tables = collected.value if collected is not None else {}
            stays = None if is_url(place.runs) else folder
            found = build_results(study, context, runs, tables, time.perf_counter() - started, stays)
            write_keys(folder, context)
            write_results(folder, study, found, collected)
            write_state(folder, ENDED)
            keep(found)
        caller.show(found)
        write_looks(folder, found, store)
        tracking.ended(found, lambda: fits_of(context, runs, FITS), [folder / name for name in REPORTS])
    return found
