"""`w2s`: the commands. Mistakes in the input end with one line and exit code 2, failed steps with a digest and 1,
Ctrl-C with 130."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from w2s_ray.core.errors import InputError, Interrupted, ResourceError, W2SError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Weak-to-strong generalization experiments: shared, resumable, with error bars.\n\n"
    "Start with `w2s run experiments/quickstart.yaml`; run it again to see that nothing is computed twice.",
)  # fmt: skip
data_app = typer.Typer(no_args_is_help=False, help="List the data sources and formats, or show rows.")
app.add_typer(data_app, name="data")
world_app = typer.Typer(no_args_is_help=False, help="Show what the built-in models know, or make them again.")
app.add_typer(world_app, name="world")


# No markup: names, values and messages may hold brackets. What is coloured is a Text.
class _Terminal(Console):
    """Goes on in silence where nobody reads any more (`w2s run … | head`): the study is worth more than its picture."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:  # a terminal that hung up
            self.quiet = True

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Texts of rows, names and messages are anybody's: their escape codes are shown, not obeyed."""
        return super()._render_buffer(
            Segment(harmless(s.text), s.style, s.control) if not s.control else s for s in buffer
        )


_CODES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """Without characters that a terminal acts on."""
    return _CODES.sub("\N{REPLACEMENT CHARACTER}", text)


out, err = _Terminal(markup=False, highlight=False), _Terminal(stderr=True, markup=False, highlight=False)

File = Annotated[Path, typer.Argument(help="The study's YAML.", show_default=False)]
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
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs/NAME/ is written.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="A Ray cluster to run on (also RAY_ADDRESS); without one a local Ray is started when it is needed.",
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Run everything in this process, without Ray: for debugging.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the workers' log lines too.")]


@app.command()
def run(
    file: File,
    sets: Sets = None,
    store: StoreUrl = None,
    runs: Runs = Path("runs"),
    address: Address = None,
    local: Local = False,
    verbose: Verbose = False,
) -> None:
    """Run a study: every cell, to a table. Killed or stopped, the same command continues it; run again, it computes
    nothing."""
    from w2s_ray.cli.run import check_study, run_study
    from w2s_ray.config.load import load_study
    from w2s_ray.engine.store import open_store
    from w2s_ray.study.check import check_machine

    study = load_study(file, sets or ())
    folder = runs / study.config.name
    check_study(study, folder, err)
    opened = open_store(_store_url(store))
    executor = _executor(opened.url, address, local, verbose, lambda: check_machine(study))
    failures = run_study(study, opened, executor, folder, _stopping, out, err)
    if failures:
        _digest(failures)
        raise typer.Exit(2 if all(failure["users"] for failure in failures) else 1)


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
    store: StoreUrl = None,
    runs: Runs = Path("runs"),
    address: Address = None,
    verbose: Verbose = False,
) -> None:
    """Search the space of the study's `tune:` for its best point, with Optuna on Ray Tune. Writes runs/NAME/search/:
    best.yaml, all trials, pictures.

    Killed or stopped, the same command continues it; with more --trials it goes on from there.
    """
    from w2s_ray.cli.tune import tune_study

    tune_study(
        file, sets or (), _store_url(store), runs, trials, timeout, concurrency, address, verbose, out, err, _stopping
    )


@app.command()
def plan(
    file: File,
    sets: Sets = None,
    store: StoreUrl = None,
    runs: Runs = Path("runs"),
    keys: Annotated[bool, typer.Option("--keys", help="Print the key of every step that would run.")] = False,
) -> None:
    """Say what a run would compute and what it would find, without computing (only the rows are split)."""
    from w2s_ray.cli.plan import make_plan, print_plan
    from w2s_ray.config.load import load_study
    from w2s_ray.study.warnings import warnings_of

    study = load_study(file, sets or ())
    for warning in warnings_of(study):
        err.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    print_plan(out, make_plan(study, _store_url(store), runs / study.config.name), show_keys=keys)


@app.command()
def status(store: StoreUrl = None, runs: Runs = Path("runs")) -> None:
    """Show the studies of runs/, who works on the store now, and what failed last."""
    from w2s_ray.cli.status import print_status

    print_status(out, _store_url(store), runs)


@app.command()
def clean(
    store: StoreUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, it is only listed.")] = False,
) -> None:
    """List, and with --yes remove, what dead drivers and killed attempts left in the store. Results, and checkpoints
    that a run goes on from, stay."""
    from w2s_ray.cli.clean import clean_store

    clean_store(out, _store_url(store), yes=yes)


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
    runs: Runs = Path("runs"),
) -> None:
    """Say why a step was not reused: what differs between its identity and that of the nearest recorded one."""
    from w2s_ray.cli.why import explain

    out.print(explain(key, _store_url(store), runs), soft_wrap=True)


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="A study's name, or the folder with its results.json.")],
    runs: Runs = Path("runs"),
) -> None:
    """Print the report of a finished run, from its results.json alone."""
    from w2s_ray.reports.file import read_results
    from w2s_ray.reports.markdown import render
    from w2s_ray.reports.pages import study_page

    sys.stdout.write(harmless(render(study_page(read_results(name, runs)))))


@app.command()
def compare(
    one: Annotated[str, typer.Argument(help="A study's name, or the folder with its results.json.")],
    other: Annotated[str, typer.Argument(help="Another one, or the same study's results from elsewhere.")],
    runs: Runs = Path("runs"),
    store: StoreUrl = None,
    other_store: Annotated[
        str | None,
        typer.Option("--other-store", metavar="URL", help="Where the second one's results live, if elsewhere."),
    ] = None,
) -> None:
    """Say where the numbers of two runs differ, to the last digit, and which fields of their keys differ."""
    from w2s_ray.cli.compare import compare as compare_runs

    url = _store_url(store)
    raise typer.Exit(0 if compare_runs(out, one, other, runs, (url, other_store or url)) else 1)


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

    url = _store_url(store)
    with View(err, 0) as view:
        same = build_ladder(out, url, names or [], folder, _executor(url, address, local, verbose), view)
    raise typer.Exit(0 if same else 1)


@app.command()
def doctor(
    store: StoreUrl = None,
    ray: Annotated[bool, typer.Option("--ray", help="Also start a local Ray and run a task in it.")] = False,
) -> None:
    """Check versions, devices, the store, disk and memory, and name each problem's remedy."""
    from w2s_ray.cli.doctor import checks

    failed = False
    for check in checks(_store_url(store), with_ray=ray):
        failed |= check.status == "fail"
        colour = {"ok": "green", "warn": "yellow", "fail": "red"}[check.status]
        remedy = f"\n     -> {check.remedy}" if check.remedy else ""
        out.print(Text.assemble((f"{check.status:4}", colour), f" {check.name}: {check.found}{remedy}"), soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


def _store_url(store: str | None) -> str:
    return store or str(Path.cwd() / "store")


def _executor(
    url: str, address: str | None, local: bool, verbose: bool, check: Callable[[], None] = lambda: None
) -> Callable[[], Any]:
    """What makes the executor at the first step that the store does not have; `check` refuses what a Ray of this
    machine alone cannot hold."""
    if local:
        from w2s_ray.engine.executor import InlineExecutor

        return InlineExecutor

    def start() -> Any:
        if (address or os.environ.get("RAY_ADDRESS") or "local") == "local":
            check()
        from w2s_ray.runtime.executor import RayExecutor

        return RayExecutor(url, address, verbose)

    return start


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _stopping(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM, or a terminal that closes) stops cleanly, the second one at once."""
    seen = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            os._exit(130)
        seen = True
        err.print("\nstopping: what runs is ended, what is finished is kept (again to end at once)")
        interrupt()

    heard = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores
    old = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


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
    except Interrupted:
        err.print(
            f"stopped; to continue, run the same command again:\n  {' '.join(['w2s', *sys.argv[1:]])}", soft_wrap=True
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # an inline step may still be in its thread; what it has not committed does not count
    except W2SError as error:
        _refuse(error)
        raise SystemExit(1) from None


def _refuse(error: W2SError) -> None:
    """One line, also where a library's message has several."""
    err.print(f"w2s: {' '.join(str(error).split())}", soft_wrap=True)
