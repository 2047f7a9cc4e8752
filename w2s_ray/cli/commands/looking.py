"""Look at what came out, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from w2s_ray.cli import complete
from w2s_ray.cli.options import (
    Json,
    Runs,
    StatusAddress,
    StoreUrl,
    store_url,
)
from w2s_ray.cli.terminal import err, out
from w2s_ray.core.errors import InputError
from w2s_ray.engine.folders import CELL_FILES, readable


def status(
    store: StoreUrl = None,
    runs: Runs = None,
    address: StatusAddress = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, until Ctrl-C: what has changed since.")] = False,
) -> None:
    """Show the studies of runs/, who works on the store now, and what failed last; with --address http://HEAD:8265 the
    jobs of a cluster."""
    from w2s_ray.cli.status import print_status

    if address is not None:
        from w2s_ray.cli.submit import print_jobs

        if as_json or watch:
            raise InputError("--address with --json or --watch: these look at a store; leave out --address")
        print_jobs(address, out)
        return

    print_status(out, store_url(store), runs or "runs", as_json=as_json, watch=watch)


def report(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A study's name, or the folder with its results.json.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ] = None,
    runs: Runs = None,
    page: Annotated[
        bool, typer.Option("--open", help="Draw its page again, runs/NAME/report.html, and open it in a browser.")
    ] = False,
    index: Annotated[
        bool, typer.Option("--index", help="Write runs/index.html, an overview of all runs; with --open, open it.")
    ] = False,
) -> None:
    """Print the report of a finished run, from its results.json alone; or make a page of it, or of all runs."""
    from w2s_ray.cli.report import open_page, print_report, write_index, write_page

    if (name is None) != index:
        raise InputError("name one study whose report is wanted, or give --index for a page of all")
    if name is not None and not page:
        print_report(name, readable(runs or "runs"))
        return
    written = write_index(out, runs or "runs") if name is None else write_page(out, name, runs or "runs")
    if page:
        open_page(out, written)


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
    print_errors(out, name, readable(runs or "runs", CELL_FILES, name), store, names, where, n, full, csv)


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Result folders of openai/weak-to-strong (train_simple.py, sweep.py, train_weak_to_strong.py) or"
            " EleutherAI/w2s (run.py).",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="What it is called below runs/.  [default: the folder's name]")
    ] = None,
    runs: Runs = None,
) -> None:
    """Read what another code's runs wrote, without running or loading anything of it, and write runs/NAME/ as of a
    study, with the conventions that its numbers were made in."""
    from w2s_ray.cli.importing import import_runs

    import_runs(out, err, folder, name, runs or "runs")


def compare(
    studies: Annotated[
        list[str],
        typer.Argument(
            help="Two or more: names below runs/, or folders with a results.json.", autocompletion=complete.runs
        ),
    ],
    runs: Runs = None,
    store: StoreUrl = None,
    other_store: Annotated[
        str | None,
        typer.Option("--other-store", metavar="URL", help="Where the second one's results live, if elsewhere."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write it as a page.")] = None,
) -> None:
    """Put runs into one table, and say which of their numbers may be held against each other.

    Two that share cells: first where these differ, to the last digit, and which fields of their keys differ.
    """
    from w2s_ray.cli.compare import compare as compare_runs

    url = store_url(store)
    same = compare_runs(out, studies, readable(runs or "runs"), (url, other_store or url), html)
    raise typer.Exit(0 if same else 1)


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
