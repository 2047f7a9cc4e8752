"""What is printed as it is: names, values and messages may hold what rich takes for markup or an emoji (`[/INST]`,
`:100:`), whatever the console is set to."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100  # of what is printed elsewhere


def say(console: Console, what: str | Table) -> None:
    """Print a line, which a terminal wraps if it must, or a table."""
    if isinstance(what, str):
        console.print(Text(what), soft_wrap=True)
    else:
        console.print(what, markup=False, highlight=False)


def as_text(what: str | Table) -> str:
    """What would be printed, to be printed elsewhere."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        say(console, what)
    return captured.get()
