"""Look at what came out, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from w2s_ray.cli import complete
from w2s_ray.cli.options import (
    Address,
    Runs,
    StoreUrl,
    store_url,
)
from w2s_ray.cli.terminal import harmless, out
from w2s_ray.engine.folders import CELL_FILES, readable


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
    name: Annotated[
        str, typer.Argument(help="A study's name, or the folder with its results.json.", autocompletion=complete.runs)
    ],
    runs: Runs = None,
) -> None:
    """Print the report of a finished run, from its results.json alone."""
    from w2s_ray.reports.file import read_results
    from w2s_ray.reports.markdown import render
    from w2s_ray.reports.pages import study_page

    sys.stdout.write(harmless(render(study_page(read_results(name, readable(runs or "runs"))))))


def errors(
    name: Annotated[
        str, typer.Argument(help="A study's name, or the folder with its results.json.", autocompletion=complete.runs)
    ],
    where: Annotated[
        str,
        typer.Option(
            "--where",
            metavar="SORT",
            autocompletion=complete.sorts,
            help="student-wrong; copied: the student repeats its teacher's error; corrected: the teacher is wrong and"
            " the student right; own: the student is wrong and the teacher right; teacher-wrong; disagree; all.",
        ),
    ] = "student-wrong",
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="M", help="Of this method.", autocompletion=complete.methods_of_runs),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Of this task.")] = None,
    weak: Annotated[
        str | None,
        typer.Option("--weak", metavar="MODEL", help="Of this weak model.", autocompletion=complete.models_of_runs),
    ] = None,
    strong: Annotated[
        str | None,
        typer.Option("--strong", metavar="MODEL", help="Of this strong model.", autocompletion=complete.models_of_runs),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            help="Of this seed.  [default: the first cell of the study]",
            autocompletion=complete.seeds_of_runs,
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="How many rows are shown.")] = 20,
    full: Annotated[bool, typer.Option("--full", help="Show whole texts, a row below the other.")] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write all these rows, with whole texts.")
    ] = None,
    runs: Runs = None,
    store: StoreUrl = None,
) -> None:
    """Show the test rows that went wrong in one cell, those that the student is surest of first: what they say, and
    what teacher, student and ceiling answered."""
    from w2s_ray.cli.errors import print_errors

    names = {"method": method, "task": task, "weak": weak, "strong": strong, "seed": seed}
    print_errors(out, name, readable(runs or "runs", CELL_FILES, name), store_url(store), names, where, n, full, csv)


def compare(
    one: Annotated[
        str, typer.Argument(help="A study's name, or the folder with its results.json.", autocompletion=complete.runs)
    ],
    other: Annotated[
        str,
        typer.Argument(help="Another one, or the same study's results from elsewhere.", autocompletion=complete.runs),
    ],
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
            ),
            autocompletion=complete.keys,
        ),
    ],
    store: StoreUrl = None,
    runs: Runs = None,
) -> None:
    """Say why a step was not reused: what differs between its identity and that of the nearest recorded one."""
    from w2s_ray.cli.why import explain

    out.print(explain(key, store_url(store), readable(runs or "runs")), soft_wrap=True)
