"""`w2s`: the commands. Mistakes in the input end with one line and exit code 2, failed steps with a digest and 1, a
spent budget with 3, Ctrl-C with 130."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from w2s_ray.cli.options import (
    Address,
    Budget,
    Env,
    File,
    JobsAddress,
    Local,
    PlaceFile,
    Runs,
    Sets,
    SharedStore,
    StoreUrl,
    Verbose,
    executor_of,
    place_of,
    ray_log,
    store_url,
)
from w2s_ray.cli.terminal import err, harmless, libraries_apart, out, stopping
from w2s_ray.config.place import JOBS
from w2s_ray.core.errors import BudgetSpent, InputError, Interrupted, ResourceError, W2SError
from w2s_ray.engine.folders import readable, written

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Weak-to-strong generalization experiments: shared, resumable, with error bars.\n\n"
    "Start with `w2s run experiments/quickstart.yaml`; run it again to see that nothing is computed twice.",
)  # fmt: skip
data_app = typer.Typer(no_args_is_help=False, help="List the data sources and formats, or show rows.")
app.add_typer(data_app, name="data")
world_app = typer.Typer(no_args_is_help=False, help="Show what the built-in models know, or make them again.")
app.add_typer(world_app, name="world")


@app.command()
def run(
    file: File,
    sets: Sets = None,
    place: PlaceFile = None,
    store: StoreUrl = None,
    runs: Runs = None,
    address: Address = None,
    env: Env = None,
    budget: Budget = None,
    local: Local = False,
    verbose: Verbose = False,
) -> None:
    """Run a study: every cell, to a table. Killed or stopped, the same command continues it; run again, it computes
    nothing."""
    from w2s_ray.cli.run import check_study, run_study
    from w2s_ray.config.load import load_study
    from w2s_ray.engine.store import open_store
    from w2s_ray.study.check import check_machine

    where = place_of(place, store, runs, address, env, budget)
    study = load_study(file, sets or (), where.resources)
    opened = open_store(where.store)
    executor = executor_of(where, opened.url, local, verbose, lambda: check_machine(study))
    with written(where.runs, study.config.name) as folder, libraries_apart(None if local or verbose else ray_log()):
        check_study(study, folder, err)
        shown = f"{where.runs}/{study.config.name}"
        failures = run_study(study, opened, executor, folder, shown, stopping, out, err, where.budget)
    if failures:
        _digest(failures)
        if ray_log().exists():
            err.print(f"what Ray itself wrote: {ray_log()}", soft_wrap=True)
        raise typer.Exit(2 if all(failure["users"] for failure in failures) else 1)
    ray_log().unlink(missing_ok=True)


@app.command()
def tune(
    file: File,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            "-n",
            min=1,
            help="How many points are tried, with those of earlier calls  [default: tune.trials]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="S", min=0, help="Begin no trial after so many seconds; the same command goes on."
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=0, help="Trials at once; 0: as many as the devices hold.")
    ] = 0,
    sets: Sets = None,
    place: PlaceFile = None,
    store: StoreUrl = None,
    runs: Runs = None,
    address: Address = None,
    env: Env = None,
    verbose: Verbose = False,
) -> None:
    """Search the space of the study's `tune:` for its best point, with Optuna on Ray Tune. Writes runs/NAME/search/:
    best.yaml, all trials, pictures.

    Killed or stopped, the same command continues it; with more --trials it goes on from there.
    """
    from w2s_ray.cli.tune import tune_study

    with libraries_apart(None if verbose else ray_log()):
        tune_study(
            file, sets or (), place_of(place, store, runs, address, env), trials, timeout, concurrency, verbose, out,
            err, stopping,
        )  # fmt: skip
    ray_log().unlink(missing_ok=True)


@app.command()
def submit(
    file: File,
    sets: Sets = None,
    place: PlaceFile = None,
    store: SharedStore = None,
    runs: Runs = None,
    address: JobsAddress = None,
    env: Env = None,
    budget: Budget = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-wait", help="Show its progress until it ends, or return at once.")
    ] = True,
    tune: Annotated[bool, typer.Option("--tune", help="Run the search of its `tune:` instead.")] = False,
) -> None:
    """Send a study to a Ray cluster as a job (--address http://HEAD:8265), with the files that it needs, and follow it.

    Submitted again, it attaches to the running job, or continues one that has ended. Results go to --store and --runs,
    which outlive the job.
    """
    from w2s_ray.cli.submit import submit_study
    from w2s_ray.config.place import load_place

    where = load_place(place, env or (), store=store, runs=runs, address=address, budget=budget)
    raise typer.Exit(submit_study(file, sets or (), where, follow, tune, out, err))


JobName = Annotated[str, typer.Argument(help="A job's id, or a study's name for its latest job.")]


@app.command()
def logs(
    ctx: typer.Context,
    job: JobName,
    address: JobsAddress = None,
    store: StoreUrl = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
) -> None:
    """Print what a submitted study has written (--address); or, from anywhere, the latest events of a run by the store
    that it works on (--store)."""
    from w2s_ray.cli.by_store import print_events
    from w2s_ray.cli.submit import print_logs

    if store is not None and _means_store(ctx, address):
        raise typer.Exit(print_events(job, store, follow, out))
    raise typer.Exit(print_logs(job, address, follow, out, err))


@app.command()
def stop(ctx: typer.Context, job: JobName, address: JobsAddress = None, store: StoreUrl = None) -> None:
    """Stop a study, by the cluster that it was submitted to (--address), or from anywhere by the store that it works on
    (--store). What is finished is kept; the same command continues it."""
    from w2s_ray.cli.by_store import stop_drivers
    from w2s_ray.cli.submit import stop_job

    if store is not None and _means_store(ctx, address):
        raise typer.Exit(stop_drivers(job, store, out))
    raise typer.Exit(stop_job(job, address, out))


def _means_store(ctx: typer.Context, address: str | None) -> bool:
    """Where both are known, what is on the command line stands above what is in the environment."""
    source = ctx.get_parameter_source("store")
    given = source is not None and source.name == "COMMANDLINE"
    return address is None and (given or not os.environ.get("RAY_API_SERVER_ADDRESS"))


@app.command()
def plan(
    file: File,
    sets: Sets = None,
    place: PlaceFile = None,
    store: StoreUrl = None,
    runs: Runs = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print the key of every step that would run.")] = False,
) -> None:
    """Say what a run would compute and what it would find, without computing (only the rows are split)."""
    from w2s_ray.cli.plan import make_plan, print_plan
    from w2s_ray.config.load import load_study
    from w2s_ray.study.warnings import warnings_of

    where = place_of(place, store, runs)
    study = load_study(file, sets or (), where.resources)
    for warning in warnings_of(study):
        err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    with written(where.runs, study.config.name) as folder:
        print_plan(out, make_plan(study, where.store, folder), show_keys=keys)


@app.command()
def status(store: StoreUrl = None, runs: Runs = None, address: Address = None) -> None:
    """Show the studies of runs/, who works on the store now, and what failed last; with --address http://HEAD:8265 the
    jobs of a cluster."""
    from w2s_ray.cli.status import print_status

    if address is not None:
        from w2s_ray.cli.submit import print_jobs

        print_jobs(address, out)
        return

    print_status(out, store_url(store), readable(runs or "runs"))


@app.command()
def clean(
    store: StoreUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, it is only listed.")] = False,
) -> None:
    """List, and with --yes remove, what dead drivers and killed attempts left in the store. Results, and checkpoints
    that a run goes on from, stay."""
    from w2s_ray.cli.clean import clean_store

    clean_store(out, store_url(store), yes=yes)


@app.command()
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


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="A study's name, or the folder with its results.json.")],
    runs: Runs = None,
) -> None:
    """Print the report of a finished run, from its results.json alone."""
    from w2s_ray.reports.file import read_results
    from w2s_ray.reports.markdown import render
    from w2s_ray.reports.pages import study_page

    sys.stdout.write(harmless(render(study_page(read_results(name, readable(runs or "runs"))))))


@app.command()
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


@app.command()
def methods() -> None:
    """List the methods, losses, combiners and cleaners, with their parameters."""
    from w2s_ray.core.plugins import available, summary

    for group, title in (
        ("w2s_ray.methods", "methods"),
        ("w2s_ray.losses", "losses (`loss:` of a method or of train.strong)"),
        ("w2s_ray.combiners", "combiners (`combine:` of an ensemble)"),
        ("w2s_ray.cleaners", "cleaners (`by:` of clean_labels)"),
    ):
        table = Table("name", "what", "parameters", title=title, title_justify="left", box=None, pad_edge=False)
        for name, plugin in available(group).items():
            fields = [
                _parameter(field, info)
                for field, info in plugin.model_fields.items()
                if field not in ("type", "name", "loss")
            ]
            table.add_row(name, summary(plugin), Text(" ".join(fields)))
        out.print(table, "")


def _parameter(name: str, info: Any) -> str:
    """As a YAML would say its default."""
    from pydantic import BaseModel

    if info.is_required():
        return f"{name} (needed)"
    default = info.get_default(call_default_factory=True)
    shown = getattr(default, "type", list(default) if isinstance(default, tuple) else default)
    if isinstance(shown, BaseModel):
        return f"{name}={{{', '.join(f'{key}: {value}' for key, value in shown.model_dump(mode='json').items())}}}"
    return f"{name}={shown if shown is not None else 'null'}"


@data_app.callback(invoke_without_command=True)
def data(ctx: typer.Context) -> None:
    """List the data sources and formats."""
    if ctx.invoked_subcommand is not None:
        return
    from w2s_ray.data.catalogue import describe

    table = Table("name", "kind", "what", box=None, pad_edge=False)
    for row in describe():
        table.add_row(*row)
    out.print(table)


@data_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="world:topic, file:PATH or hub:ORG/NAME@REVISION; or a study's YAML.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many rows.")] = 3,
) -> None:
    """Print formatted rows, as a model will read them."""
    from w2s_ray.config.load import load_study
    from w2s_ray.data.catalogue import show as rows_of

    study = load_study(Path(name)) if name.endswith((".yaml", ".yml")) else None
    spec, base = (study.config.task, study.base) if study else (name, Path.cwd())
    for row in rows_of(spec, n, base):
        table = Table(box=None, show_header=False, pad_edge=False)
        for column, text in row.items():
            table.add_row(Text(column, "bold"), text)
        out.print(table, "")


@world_app.callback(invoke_without_command=True)
def world(ctx: typer.Context) -> None:
    """Show the built-in models: their sizes, how long they read, and what was measured of each."""
    if ctx.invoked_subcommand is None:
        from w2s_ray.cli.world import print_ladder

        print_ladder(out)


@world_app.command("build")
def build(
    names: Annotated[
        list[str] | None, typer.Argument(help="nano, micro, mini, small; all of them by default.", show_default=False)
    ] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the model folders are written.")] = Path(
        "world"
    ),
    store: StoreUrl = None,
    address: Address = None,
    local: Local = False,
    verbose: Verbose = False,
) -> None:
    """Pretrain the built-in models again from their seeds, examine them, and compare with what is shipped. All take
    about a quarter of an hour on two cores."""
    from w2s_ray.cli.live import View
    from w2s_ray.cli.world import build as build_ladder

    where = place_of(store=store, address=address)
    url = where.store
    with View(err, 0) as view:
        same = build_ladder(out, url, names or [], folder, executor_of(where, url, local, verbose), view)
    raise typer.Exit(0 if same else 1)


@app.command()
def doctor(
    store: StoreUrl = None,
    ray: Annotated[bool, typer.Option("--ray", help="Also start a local Ray and run a task in it.")] = False,
    place: PlaceFile = None,
    address: Address = None,
) -> None:
    """Check versions, devices, the store, disk and memory, and name each problem's remedy. With --address the same of
    every node of a cluster, and whether their processes can meet."""
    from w2s_ray.cli.doctor import checks, cluster_checks

    where = place_of(place, store, address=address)
    if (where.address or "").startswith(JOBS):
        from w2s_ray.cli.submit import doctor_there

        raise typer.Exit(doctor_there(where, out))
    findings = cluster_checks(where.store, where) if where.address else checks(where.store, with_ray=ray)
    failed = False
    for check in findings:
        failed |= check.status == "fail"
        colour = {"ok": "green", "warn": "yellow", "fail": "red"}[check.status]
        remedy = f"\n     -> {check.remedy}" if check.remedy else ""
        out.print(Text.assemble((f"{check.status:4}", colour), f" {check.name}: {check.found}{remedy}"), soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


def _digest(failures: list[dict[str, Any]]) -> None:
    """Failed cells, equal errors once. A mistake in the input is said in a line; its traceback is in results.json."""
    for failure in failures:
        if failure["users"]:
            err.print(f"w2s: {failure['error']} [{len(failure['cells'])} cells]", soft_wrap=True)
            continue
        names = [
            f"{c['method']}, {c['task']}, {c['weak']} -> {c['strong']}, seed {c['seed']}" for c in failure["cells"]
        ]
        err.print(
            Text.assemble(
                (f"\n{len(names)} failed", "red"), f": {'; '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            ),
            soft_wrap=True,
        )
        err.print(failure["traceback"].rstrip(), soft_wrap=True)
        if failure["log"].strip():
            err.print(f"its last lines:\n{failure['log'].rstrip()}", soft_wrap=True)


def main() -> None:
    """Entry point of `w2s`."""
    try:
        app(prog_name="w2s")
    except (InputError, ResourceError) as error:
        _refuse(error)
        raise SystemExit(2) from None
    except Interrupted as stop:
        spent = isinstance(stop, BudgetSpent)
        why = str(stop) if spent else "stopped; to continue, run the same command again"
        err.print(f"{why}:\n  {' '.join(['w2s', *sys.argv[1:]])}", soft_wrap=True)
        sys.stdout.flush()
        sys.stderr.flush()
        # An inline step may still be in its thread; what it has not committed does not count.
        os._exit(3 if spent else 130)
    except W2SError as error:
        _refuse(error)
        raise SystemExit(1) from None


def _refuse(error: W2SError) -> None:
    """One line, also where a library's message has several."""
    err.print(f"w2s: {' '.join(str(error).split())}", soft_wrap=True)
