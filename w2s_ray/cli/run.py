"""`w2s run`: from a study's YAML to its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from w2s_ray.cli.say import as_text, say
from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.engine.context import Context
from w2s_ray.reports.console import warner
from w2s_ray.reports.ending import End, kept
from w2s_ray.reports.event_lines import Writer, view_of
from w2s_ray.reports.terminal import summary_table
from w2s_ray.study.conduct import Caller, Found, conduct

Stopping = Callable[[Callable[[], None]], AbstractContextManager[None]]


def run_study(
    study: Study,
    place: Place,
    track: Sequence[str],
    local: bool,
    verbose: bool,
    stopping: Stopping,
    writer: Writer | None,
    out: Console,
    err: Console,
) -> tuple[End, list[dict[str, Any]]]:
    """Run it, print the table; how it ended, and the failures."""
    told: list[tuple[End, Table]] = []

    @contextmanager
    def around(context: Context) -> Iterator[Callable[[Found], None]]:
        with stopping(context.interrupt), kept(context) as keep:

            def ended(found: Found) -> None:
                end, table = End.of(found, place.runs), summary_table(found)
                keep(end, as_text(table))
                told.append((end, table))

            yield ended

    view = view_of(err, len(study.cells), writer)
    caller = Caller(view, warner(err), around, show=lambda found: say(out, told[0][1]))
    found = conduct(study, place, caller, track=track, local=local, verbose=verbose)
    shown = f"{place.runs}/{study.config.name}"
    say(out, f"report: {shown}/report.html (and .md)   results: {shown}/results.json")
    return told[0][0], found["failures"]
