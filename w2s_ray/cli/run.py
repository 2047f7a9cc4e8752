"""`w2s run`: from a study's YAML to its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from w2s_ray.cli.say import say
from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.reports.event_lines import view_of
from w2s_ray.reports.terminal import summary_table
from w2s_ray.study.conduct import Stopping, conduct


def run_study(
    study: Study, place: Place, local: bool, verbose: bool, stopping: Stopping, out: Console, err: Console
) -> list[dict[str, Any]]:
    """Run it, print the table; the failures."""
    view = view_of(err, len(study.cells))
    results = conduct(study, place, view, warner(err), local=local, verbose=verbose, stopping=stopping)
    shown = f"{place.runs}/{study.config.name}"
    say(out, summary_table(results))
    say(out, f"report: {shown}/report.md   results: {shown}/results.json")
    failures: list[dict[str, Any]] = results["failures"]
    return failures


def warner(err: Console) -> Callable[[str], None]:
    """What prints a warning."""
    return lambda warning: err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
