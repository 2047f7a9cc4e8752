"""Options that several commands share, and what they mean together: a place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from w2s_ray.cli import complete

if TYPE_CHECKING:
    from w2s_ray.config.place import Place

File = Annotated[Path, typer.Argument(help="The study's YAML.", show_default=False, autocompletion=complete.studies)]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the YAML, e.g. --set train.strong.lr=3e-4; may be given often.",
    ),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="W2S_STORE",
        help="Where results live: an absolute path, s3://…, gs://…  [default: ./store]",
    ),
]
Runs = Annotated[
    str | None,
    typer.Option("--runs", metavar="DIR", help="Where runs/NAME/ is written: a folder or a URL.  [default: ./runs]"),
]
SharedRuns = Annotated[
    str | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        help="Where runs/NAME/ is written: a URL, or a path that all machines share.  [default: the store's name with"
        " -runs]",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="A Ray cluster to run on (also RAY_ADDRESS); without one a local Ray is started when it is needed.",
    ),
]
JobsAddress = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="URL", help="The cluster's jobs: http://HEAD:8265 (also RAY_API_SERVER_ADDRESS)."
    ),
]
StatusAddress = Annotated[
    str | None, typer.Option("--address", metavar="URL", help="The cluster's jobs: http://HEAD:8265.")
]
DoctorAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="A cluster to examine instead of this machine: http://HEAD:8265, or auto / HEAD:6379 on one of its"
        " machines.",
    ),
]
SharedStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="W2S_STORE",
        help="Where results live: s3://…, gs://…, or an absolute path that all machines of the cluster share.",
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Run everything in this process, without Ray: for debugging.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="Objects for programs on standard output, one a line (docs/how-to/follow-a-run.md)."),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the workers' log lines too.")]
PlaceFile = Annotated[
    Path | None,
    typer.Option(
        "--place",
        metavar="FILE",
        help="Where it runs, as a YAML: address, store, runs, env, resources (docs/how-to/clusters.md). Options stand"
        " above it.",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        help="Write its runs to a tracker as well: jsonl, tensorboard, wandb, mlflow (docs/how-to/trackers.md)."
        " Repeatable.",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        metavar="HOURS",
        min=0,
        help="Stop after so many device-hours (of GPUs for steps that ask for them, of CPUs for others); the same"
        " command goes on.",
        show_default=False,
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env", metavar="NAME=VALUE", help="A variable of the workers; NAME alone: this machine's value. Repeatable."
    ),
]


def place_of(
    file: Path | None = None,
    store: str | None = None,
    runs: str | None = None,
    address: str | None = None,
    env: list[str] | None = None,
    budget: float | None = None,
) -> Place:
    """The place that the options name, with the defaults of this machine."""
    from w2s_ray.config.place import load_place

    return load_place(file, env or (), store=store, runs=runs, address=address, budget=budget).with_defaults()


def address_of_jobs() -> str:
    """The cluster's, from the environment; empty where that names none."""
    from w2s_ray.config.place import JOBS

    there = os.environ.get("RAY_ADDRESS", "")
    return os.environ.get("RAY_API_SERVER_ADDRESS") or (there if there.startswith(JOBS) else "")


def store_url(store: str | None) -> str:
    """For a command that has no place."""
    return store or str(Path.cwd() / "store")


def ray_log() -> Path:
    """The file for what Ray writes to this process's standard error."""
    from w2s_ray.engine.store import cache_folder

    return cache_folder() / "logs" / f"ray-{os.getpid()}.log"
