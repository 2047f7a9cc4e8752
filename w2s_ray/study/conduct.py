"""A study from its checks to the files of its run: what `w2s run` and `w2s_ray.run` do alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import Sink
from w2s_ray.engine.executor import Executor
from w2s_ray.engine.folders import written
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.event_lines import Recent
from w2s_ray.study.check import check_machine, check_memory, check_names
from w2s_ray.study.executor import executor_of
from w2s_ray.study.results import build_results, check_writable, write_results
from w2s_ray.study.run import collect, run_cells
from w2s_ray.study.warnings import warnings_of

Showing = AbstractContextManager[Sink]
Stopping = Callable[[Callable[[], None]], AbstractContextManager[None]]


def conduct(
    study: Study, place: Place, view: Showing, warn: Callable[[str], None], *, local: bool = False,
    verbose: bool = False, stopping: Stopping = lambda interrupt: nullcontext(),
) -> dict[str, Any]:  # fmt: skip
    """Refuse what cannot be, say what is probably not meant, compute what the store does not have, write the run's
    folder. Returns what its results.json says."""
    store = open_store(place.store)
    executor = executor_of(place, store.url, local, verbose, lambda: check_machine(study))
    with written(place.runs, study.config.name) as folder:
        check_names(study)
        check_memory(study)
        for warning in warnings_of(study):
            warn(warning)
        check_writable(folder)
        return _computed(study, store, executor, folder, view, stopping, place.budget)


def _computed(
    study: Study,
    store: Store,
    executor: Callable[[], Executor],
    folder: Path,
    view: Showing,
    stopping: Stopping,
    budget_h: float,
) -> dict[str, Any]:
    started = time.perf_counter()
    recent = Recent()
    with (
        view as shown,
        Context(
            store,
            executor,
            sinks=[shown, recent],
            read_only=store.read_only(),
            name=study.config.name,
            budget_h=budget_h,
            about=recent.about,
        ) as context,
        stopping(context.interrupt),
    ):
        runs = run_cells(study, context)
        collected = collect(study, context, runs)
        tables = collected.value if collected is not None else {}
        results = build_results(study, context, runs, tables, time.perf_counter() - started)
        write_results(folder, study, results, collected)
    return results
