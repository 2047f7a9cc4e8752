"""`w2s run`: from a study's YAML to its table."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from w2s_ray.cli.event_lines import Recent, view_of
from w2s_ray.cli.say import say
from w2s_ray.config.load import Study
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import Executor
from w2s_ray.engine.store import Store
from w2s_ray.reports.terminal import summary_table
from w2s_ray.study.check import check_memory, check_names
from w2s_ray.study.results import build_results, check_writable, write_keys, write_results
from w2s_ray.study.run import collect, run_cells
from w2s_ray.study.warnings import warnings_of

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
    store: Store,
    executor: Callable[[], Executor],
    folder: Path,
    shown: str,
    stopping: Stopping,
    out: Console,
    err: Console,
    budget_h: float = 0.0,
) -> list[dict[str, Any]]:
    """Compute what the store does not have, write the run's folder (`shown` to people), print the table; the
    failures."""
    started = time.perf_counter()
    recent = Recent()
    with (
        view_of(err, len(study.cells)) as view,
        Context(
            store,
            executor,
            sinks=[view, recent],
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
        write_keys(folder, context)
        write_results(folder, study, results, collected)
    say(out, summary_table(results))
    say(out, f"report: {shown}/report.md   results: {shown}/results.json")
    failures: list[dict[str, Any]] = results["failures"]
    return failures
