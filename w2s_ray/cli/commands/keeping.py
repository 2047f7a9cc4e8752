"""Keep the machine and the store in order."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from w2s_ray.cli.options import (
    DoctorAddress,
    PlaceFile,
    StoreUrl,
    place_of,
    store_url,
)
from w2s_ray.cli.terminal import out


def doctor(
    store: StoreUrl = None,
    ray: Annotated[bool, typer.Option("--ray", help="Also start a local Ray and run a task in it.")] = False,
    place: PlaceFile = None,
    address: DoctorAddress = None,
) -> None:
    """Check versions, devices, the store, disk and memory, and name each problem's remedy. With --address the same of
    every node of a cluster, and whether their processes can meet."""
    from w2s_ray.cli.doctor import checks, cluster_checks
    from w2s_ray.config.place import JOBS

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


def clean(
    store: StoreUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, it is only listed.")] = False,
    unused: Annotated[
        bool, typer.Option("--unused", help="Instead, results to which no study below --runs leads.")
    ] = False,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--runs", metavar="DIR", help="With --unused: a folder of kept runs. Repeatable.  [default: ./runs]"
        ),
    ] = None,
    days: Annotated[
        float, typer.Option("--days", min=0, help="With --unused: what is younger stays, kept study or not.")
    ] = 7.0,
) -> None:
    """List, and with --yes remove, what dead drivers and killed attempts left in the store. Results, and checkpoints
    that a run goes on from, stay; with --unused it is results that go, where no study or search needs them."""
    from w2s_ray.cli.clean import clean_store, clean_unused

    if unused:
        clean_unused(out, store_url(store), runs or ["runs"], days, yes=yes)
    else:
        clean_store(out, store_url(store), yes=yes)
