"""`w2s import`: another code's results among ours."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from w2s_ray.cli.say import say
from w2s_ray.config.schema import folder_name
from w2s_ray.core.errors import InputError
from w2s_ray.engine.folders import readable, written
from w2s_ray.reports.terminal import summary_table
from w2s_ray.study.foreign.results import import_folder, refuse_to_replace, write_imported

SHOWN = 20  # odd things; results.json and the page have all


def import_runs(console: Console, errors: Console, folder: Path, name: str | None, runs: str) -> None:
    """Read, write, and print the table with what was odd above it."""
    results = import_folder(folder, None if name is None else _checked(name))
    name = str(results["name"])
    refuse_to_replace(readable(runs) / name)
    with written(runs, name) as place:
        write_imported(place, results)
    told = results["imported"]["told"]
    for line in told[:SHOWN]:
        errors.print(Text.assemble(("odd ", "yellow"), line), soft_wrap=True)
    if len(told) > SHOWN:
        errors.print(Text(f"and {len(told) - SHOWN} more, which the page lists"), soft_wrap=True)
    say(console, summary_table(results))
    say(console, f"report: {runs}/{name}/report.html (and .md)   results: {runs}/{name}/results.json")


def _checked(name: str) -> str:
    try:
        return folder_name(name)
    except ValueError as error:
        raise InputError(f"--name: {error}") from None
