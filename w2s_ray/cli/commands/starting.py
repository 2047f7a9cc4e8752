"""What there is to use: methods, data, models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from w2s_ray.cli import complete
from w2s_ray.cli.options import (
    Address,
    File,
    Local,
    Sets,
    StoreUrl,
    Verbose,
    place_of,
)
from w2s_ray.cli.terminal import err, out

data_app = typer.Typer(
    no_args_is_help=False, help="List the data sources and formats, show rows, or export a study's.", name="data"
)
world_app = typer.Typer(
    no_args_is_help=False, help="Show what the built-in models know, or make them again.", name="world"
)


def init(
    file: Annotated[Path, typer.Argument(help="The YAML to write.")] = Path("study.yaml"),
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="The rows: world:TASK, a file from here (.jsonl, .csv, .parquet), or hub:ORG/NAME[@COMMIT]; where no"
            " commit is given, the present one is written.",
        ),
    ] = None,
    weak: Annotated[str | None, typer.Option("--weak", metavar="MODEL", help="The teacher.")] = None,
    strong: Annotated[str | None, typer.Option("--strong", metavar="MODEL", help="The student.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="A method or a loss; may be given often.",
            autocompletion=complete.methods,
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="How a row is read; without it a guess by columns.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="C=NAME", help="The file's column for one that the format reads, repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the default of what is not given.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a first study: which rows, which models, which methods. Each line of it says what it means.

    Beside it stands study.schema.json, by which editors complete and check it."""
    from w2s_ray.cli.init import Given, init_study

    given = Given(data, weak, strong, method or (), format, column or (), yes)
    init_study(out, err, file, given, force=force)


def schema() -> None:
    """Print the JSON schema of a study's YAML, with every plug-in that is installed: for editors and other tools."""
    from w2s_ray.config.yaml_schema import schema_text

    sys.stdout.write(schema_text())


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
    name: Annotated[str, typer.Argument(help="world:topic, file:PATH or hub:ORG/NAME[@COMMIT]; or a study's YAML.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many rows.")] = 3,
) -> None:
    """Print formatted rows, as a model will read them."""
    from w2s_ray.cli.pin import load_pinned, name_pinned
    from w2s_ray.data.catalogue import show as rows_of

    study = load_pinned(Path(name), (), None, err, keep=False) if name.endswith((".yaml", ".yml")) else None
    spec, base = (study.config.task, study.base) if study else (name_pinned("dataset", name, err), Path.cwd())
    for row in rows_of(spec, n, base):
        table = Table(box=None, show_header=False, pad_edge=False)
        for column, text in row.items():
            table.add_row(Text(column, "bold"), text)
        out.print(table, "")


@data_app.command("export")
def export(
    file: File,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files are written.")],
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet instead of JSON lines.")] = False,
    gold: Annotated[
        bool, typer.Option("--gold", help="Also write the gold labels of pool and test rows: no teacher may see them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    sets: Sets = None,
) -> None:
    """Write the splits of a study's task with their ids, for a teacher that is made elsewhere: a file of its labels by
    these ids is a weak model (labels:file:PATH)."""
    from w2s_ray.cli.export import export_splits

    export_splits(out, err, file, sets or (), folder, "parquet" if parquet else "jsonl", gold=gold, force=force)


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
    from w2s_ray.cli.world import build as build_ladder
    from w2s_ray.reports.live import View
    from w2s_ray.study.executor import executor_of

    where = place_of(store=store, address=address)
    url = where.store
    with View(err, 0) as view:
        same = build_ladder(out, url, names or [], folder, executor_of(where, url, local, verbose), view)
    raise typer.Exit(0 if same else 1)
