"""What is printed as it is: names, values and messages may hold what rich takes for markup or an emoji (`[/INST]`,
`:100:`), whatever the console is set to."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(console: Console, what: str | Table) -> None:
    """Print a line, which a terminal wraps if it must, or a table."""
    if isinstance(what, str):
        console.print(Text(what), soft_wrap=True)
    else:
        console.print(what, markup=False, highlight=False)
