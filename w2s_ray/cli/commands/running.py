"""Run, search and plan a study, here or on a cluster."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
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
    place_of,
    ray_log,
)
from w2s_ray.cli.terminal import err, libraries_apart, out, stopping
from w2s_ray.engine.folders import written


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
    from w2s_ray.cli.run import run_study
    from w2s_ray.config.load import load_study

    where = place_of(place, store, runs, address, env, budget)
    study = load_study(file, sets or (), where.resources)
    with libraries_apart(None if local or verbose else ray_log()):
        failures = run_study(study, where, local, verbose, stopping, out, err)
    if failures:
        _digest(failures)
        if ray_log().exists():
            err.print(f"what Ray itself wrote: {ray_log()}", soft_wrap=True)
        raise typer.Exit(2 if all(failure["users"] for failure in failures) else 1)
    ray_log().unlink(missing_ok=True)


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


def plan(
    file: File,
    sets: Sets = None,
    place: PlaceFile = None,
    store: StoreUrl = None,
    runs: Runs = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print the key of every step that would run.")] = False,
) -> None:
    """Say what a run would compute and what it would find, without computing (only the rows are split)."""
    from w2s_ray.cli.plan import print_plan
    from w2s_ray.config.load import load_study
    from w2s_ray.study.plan import make_plan
    from w2s_ray.study.warnings import warnings_of

    where = place_of(place, store, runs)
    study = load_study(file, sets or (), where.resources)
    for warning in warnings_of(study):
        err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    with written(where.runs, study.config.name) as folder:
        print_plan(out, make_plan(study, where.store, folder), show_keys=keys)


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
