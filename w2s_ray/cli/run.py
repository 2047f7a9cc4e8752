"""`w2s run`: from a study's YAML to its table."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from w2s_ray.cli.ending import End, kept
from w2s_ray.cli.event_lines import Recent, Writer, view_of
from w2s_ray.cli.say import as_text, say
from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import Executor
from w2s_ray.engine.store import open_store
from w2s_ray.reports.terminal import summary_table
from w2s_ray.study.check import check_memory, check_names
from w2s_ray.study.fits import fits_of
from w2s_ray.study.results import build_results, check_writable, write_keys, write_looks, write_results
from w2s_ray.study.run import collect, run_cells
from w2s_ray.study.warnings import warnings_of
from w2s_ray.trackers.tracking import FITS, Tracking

REPORTS = ("report.md", "report.html")

Stopping = Callable[[Callable[[], None]], AbstractContextManager[None]]


def check_study(study: Study, folder: Path, err: Console) -> None:
    """Refuse, before anything is computed, what can be refused by then; say what is probably not meant."""
    check_names(study)
    check_memory(study)
    for warning in warnings_of(study):
        err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    check_writable(folder)


def run_study(
    study: Study,
    place: Place,
    executor: Callable[[], Executor],
    folder: Path,
    stopping: Stopping,
    writer: Writer | None,
    tracking: Tracking,
    out: Console,
    err: Console,
) -> tuple[End, list[dict[str, Any]]]:
    """Compute what the store does not have, write the run's folder, print the table; how it ended, and the failures."""
    started = time.perf_counter()
    store = open_store(place.store)
    recent = Recent(len(study.cells))
    with tracking:
        with (
            view_of(err, len(study.cells), writer) as view,
            Context(
                store,
                executor,
                sinks=[view, recent, tracking],
                read_only=store.read_only(),
                name=study.config.name,
                budget_h=place.budget,
                about=recent.about,
            ) as context,
            stopping(context.interrupt),
            kept(context) as keep,
        ):
            context.show()
            tracking.params = context.params_of
            runs = run_cells(study, context)
            collected = collect(study, context, runs)
            tables = collected.value if collected is not None else {}
            results = build_results(study, context, runs, tables, time.perf_counter() - started, folder)
            write_keys(folder, context)
            write_results(folder, study, results, collected)
            end, table = End.of(results, place.runs), summary_table(results)
            keep(end, as_text(table))
        say(out, table)
        write_looks(folder, results, store)
        tracking.ended(results, lambda: fits_of(context, runs, FITS), [folder / name for name in REPORTS])
    shown = f"{place.runs}/{study.config.name}"
    say(out, f"report: {shown}/report.html (and .md)   results: {shown}/results.json")
    return end, results["failures"]
