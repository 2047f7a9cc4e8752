"""Run, search and plan a study, here or on a cluster."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from w2s_ray.cli.options import (
    Address,
    Budget,
    Env,
    File,
    JobsAddress,
    Json,
    Local,
    PlaceFile,
    Runs,
    Sets,
    SharedRuns,
    SharedStore,
    StoreUrl,
    Track,
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
    track: Track = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run it in the background, also when the terminal closes: w2s attach NAME.")
    ] = False,
    as_json: Json = False,
    local: Local = False,
    verbose: Verbose = False,
) -> None:
    """Run a study: every cell, to a table. Killed or stopped, the same command continues it; run again, it computes
    nothing."""
    from w2s_ray.cli.pin import load_pinned
    from w2s_ray.cli.run import run_study
    from w2s_ray.reports.console import teller
    from w2s_ray.reports.event_lines import objects
    from w2s_ray.study.devices import on_devices

    if detach:
        from w2s_ray.cli.detach import detach_study

        raise typer.Exit(detach_study(file, sets or (), place_of(place, store, runs), as_json, out, err))
    with libraries_apart(None if local or verbose else ray_log()), objects(as_json) as writer:
        where = place_of(place, store, runs, address, env, budget)
        study = on_devices(load_pinned(file, sets or (), where.resources, err), where, teller(err))
        if writer is not None:
            writer.name = study.config.name
        end, failures = run_study(study, where, track or (), local, verbose, stopping, writer, out, err)
        if writer is not None:
            writer.end(end)
    if failures:
        _digest(failures)
        if ray_log().exists():
            err.print(f"what Ray itself wrote: {ray_log()}", soft_wrap=True)
        raise typer.Exit(end.exit_code)
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
    track: Track = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Search the space of the study's `tune:` for its best point, with Optuna on Ray Tune. Writes runs/NAME/search/:
    best.yaml, all trials, pictures.

    Killed or stopped, the same command continues it; with more --trials it goes on from there.
    """
    from w2s_ray.cli.tune import tune_study
    from w2s_ray.reports.event_lines import objects

    with libraries_apart(None if verbose else ray_log()), objects(as_json) as writer:
        where = place_of(place, store, runs, address, env)
        tune_study(
            file, sets or (), where, trials, timeout, concurrency, verbose, track or (), writer, out, err, stopping
        )  # fmt: skip
    ray_log().unlink(missing_ok=True)


def plan(
    file: File,
    sets: Sets = None,
    place: PlaceFile = None,
    store: StoreUrl = None,
    runs: Runs = None,
    address: Address = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print the key of every step that would run.")] = False,
) -> None:
    """Say what a run would compute and find, how long that may take, and what would fail (exit code 2), without
    computing: only the rows are split. With --address a cluster is meant, and what this machine lacks does not
    count."""
    from w2s_ray.cli.pin import load_pinned
    from w2s_ray.cli.plan import print_plan
    from w2s_ray.reports.console import teller, warner
    from w2s_ray.study.devices import on_devices
    from w2s_ray.study.plan import make_plan
    from w2s_ray.study.warnings import warnings_of

    where = place_of(place, store, runs, address)
    study = on_devices(load_pinned(file, sets or (), where.resources, err, keep=False), where, teller(err))
    for warning in warnings_of(study):
        warner(err)(warning)
    with written(where.runs, study.config.name) as folder:
        made = make_plan(study, where.store, folder, here=where.here)
        print_plan(out, made, show_keys=keys)
    if made.foreseen.problems:
        raise typer.Exit(2)


def pin(
    file: File,
    names: Annotated[
        list[str] | None, typer.Argument(help="Ask anew for these names of the study alone.", show_default=False)
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Ask anew for all names.")] = False,
) -> None:
    """Write beside a study (study.yaml: study.lock) which commit each of its models and data sets of the hub means that
    is named without one; names that have one there keep it, unless asked for anew. `run` does the same."""
    from w2s_ray.cli.pin import pin_study

    pin_study(file, names or (), out, update=update)


def submit(
    file: File,
    sets: Sets = None,
    place: PlaceFile = None,
    store: SharedStore = None,
    runs: SharedRuns = None,
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
