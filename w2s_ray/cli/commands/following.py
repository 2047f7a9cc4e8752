"""Follow a study that runs, and stop it."""

from __future__ import annotations

from typing import Annotated

import typer

from w2s_ray.cli.options import JobsAddress, Json, StoreUrl, address_of_jobs, store_url
from w2s_ray.cli.terminal import err, out


def attach(
    name: Annotated[str, typer.Argument(help="A study's name, or the beginning of a driver's id.")],
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Watch a study that runs, from anywhere, by the store that it works on; ends with its table and its exit code.
    Ctrl-C leaves the study alone. Of one that has ended the end is shown."""
    from w2s_ray.cli.following import attach as attach_to

    raise typer.Exit(attach_to(name, store_url(store), as_json, out, err))


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
    from w2s_ray.cli.following import print_events
    from w2s_ray.cli.submit import print_logs

    if _means_store(ctx, address):
        raise typer.Exit(print_events(job, store_url(store), follow, out))
    raise typer.Exit(print_logs(job, address, follow, out, err))


def stop(ctx: typer.Context, job: JobName, address: JobsAddress = None, store: StoreUrl = None) -> None:
    """Stop a study, by the cluster that it was submitted to (--address), or from anywhere by the store that it works on
    (--store). What is finished is kept; the same command continues it."""
    from w2s_ray.cli.following import stop_drivers
    from w2s_ray.cli.submit import stop_job

    if _means_store(ctx, address):
        raise typer.Exit(stop_drivers(job, store_url(store), out))
    raise typer.Exit(stop_job(job, address, out))


def _means_store(ctx: typer.Context, address: str | None) -> bool:
    """What is on the command line stands above what is in the environment; where neither says, it is ./store."""
    source = ctx.get_parameter_source("store")
    given = source is not None and source.name == "COMMANDLINE"
    return address is None and (given or not address_of_jobs())
