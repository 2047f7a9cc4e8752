"""`w2s`: the commands. Mistakes in the input end with one line and exit code 2, failed steps with a digest and 1, a
spent budget with 3, Ctrl-C with 130."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from w2s_ray.cli.commands import following, keeping, looking, running, starting
from w2s_ray.cli.terminal import err
from w2s_ray.core.errors import BudgetSpent, Interrupted, W2SError, exit_code

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Weak-to-strong generalization experiments: shared, resumable, with error bars.\n\n"
    "Start with `w2s run experiments/quickstart.yaml`; run it again to see that nothing is computed twice.",
)  # fmt: skip

# In the order and under the headings of `w2s --help`.
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Begin": (starting.init,),
    "Run a study": (running.run, running.tune, running.plan, running.pin),
    "On a cluster": (running.submit,),
    "Follow it": (following.attach, following.logs, following.stop),
    "Look at it": (looking.status, looking.report, looking.errors, looking.compare, looking.import_, looking.why),
    "What there is": (starting.methods, starting.schema),
    "Keep order": (keeping.doctor, keeping.clean),
}
for heading, commands in COMMANDS.items():
    for command in commands:
        app.command(command.__name__.rstrip("_"), rich_help_panel=heading)(command)
for group in (starting.data_app, starting.world_app):
    app.add_typer(group, rich_help_panel="What there is")


def main() -> None:
    """Entry point of `w2s`."""
    try:
        app(prog_name="w2s")
    except Interrupted as stop:
        why = str(stop) if isinstance(stop, BudgetSpent) else "stopped; to continue, run the same command again"
        err.print(f"{why}:\n  {' '.join(['w2s', *sys.argv[1:]])}", soft_wrap=True)
        sys.stdout.flush()
        sys.stderr.flush()
        # An inline step may still be in its thread; what it has not committed does not count.
        os._exit(exit_code(stop))
    except W2SError as error:
        _refuse(error)
        raise SystemExit(exit_code(error)) from None


def _refuse(error: W2SError) -> None:
    """One line, also where a library's message has several."""
    err.print(f"w2s: {' '.join(str(error).split())}", soft_wrap=True)
