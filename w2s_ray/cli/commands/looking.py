"""Look at what came out, and why."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from w2s_ray.cli.options import (
    Address,
    Runs,
    StoreUrl,
    store_url,
)
from w2s_ray.cli.terminal import out
from w2s_ray.engine.folders import readable
from w2s_ray.reports.console import harmless


def status(store: StoreUrl = None, runs: Runs = None, address: Address = None) -> None:
    """Show the studies of runs/, who works on the store now, and what failed last; with --address http://HEAD:8265 the
    jobs of a cluster."""
    from w2s_ray.cli.status import print_status

    if address is not None:
        from w2s_ray.cli.submit import print_jobs

        print_jobs(address, out)
        return

    print_status(out, store_url(store), readable(runs or "runs"))


def report(
    name: Annotated[str, typer.Argument(help="A study's name, or the folder with its results.json.")],
    runs: Runs = None,
) -> None:
    """Print the report of a finished run, from its results.json alone."""
    from w2s_ray.reports.file import read_results
    from w2s_ray.reports.markdown import render
    from w2s_ray.reports.pages import study_page

    sys.stdout.write(harmless(render(study_page(read_results(name, readable(runs or "runs"))))))


def compare(
    one: Annotated[str, typer.Argument(help="A study's name, or the folder with its results.json.")],
    other: Annotated[str, typer.Argument(help="Another one, or the same study's results from elsewhere.")],
    runs: Runs = None,
    store: StoreUrl = None,
    other_store: Annotated[
        str | None,
        typer.Option("--other-store", metavar="URL", help="Where the second one's results live, if elsewhere."),
    ] = None,
) -> None:
    """Say where the numbers of two runs differ, to the last digit, and which fields of their keys differ."""
    from w2s_ray.cli.compare import compare as compare_runs

    url = store_url(store)
    raise typer.Exit(0 if compare_runs(out, one, other, readable(runs or "runs"), (url, other_store or url)) else 1)


def why(
    key: Annotated[
        str,
        typer.Argument(
            help=(
                "A step's key as the live view, results.json or `plan --keys` print it; a part that is unique is"
                " enough."
            )
        ),
    ],
    store: StoreUrl = None,
    runs: Runs = None,
) -> None:
    """Say why a step was not reused: what differs between its identity and that of the nearest recorded one."""
    from w2s_ray.cli.why import explain

    out.print(explain(key, store_url(store), readable(runs or "runs")), soft_wrap=True)
