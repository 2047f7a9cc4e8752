"""What the families of the field's datasets share: a template that the columns of a row fill.

`statements`, `questions` and `ethics_utilitarianism` hold the datasets of EleutherAI/w2s (`w2s/ds_registry.py`, commit
1325975), most of which are among the 22 NLP tasks of Burns et al. 2023. The wording of the templates is theirs; where
this departs from them, the family's module says so. For all of them: a coin is drawn per row from its content, there
from one generator in the order of the rows; classes are balanced by `task.balance` alone, there always; the test rows
of SciQ are its test split, there 3000 rows of all its splits.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.data.formats import BINARY, Row, text_of


class Templated(Frozen):
    """A yes-or-no question about the columns that `asks` names in braces. A dataset declares what differs."""

    kind: ClassVar[Kind] = TEXT
    columns: ClassVar[tuple[str, ...]]
    classes: ClassVar[tuple[str, ...] | None] = BINARY
    group: ClassVar[str | None] = None
    keeps: ClassVar[Literal["start", "end"]] = "end"  # where the templates ask
    hub: ClassVar[str]
    train_split: ClassVar[str] = "train"
    test_split: ClassVar[str] = "test"
    asks: ClassVar[str]

    def texts(self, row: Row) -> dict[str, str]:
        """The columns that the template shows as they are."""
        return {column: _lines_of(row, column) for column in self.columns if f"{{{column}}}" in self.asks}


def _lines_of(row: Row, column: str) -> str:
    """A text, or a list of them, such as the turns of a dialogue."""
    cell = row[column]
    if isinstance(cell, list) and cell:
        return "\n".join(text_of({column: line}, column) for line in cell)
    return text_of(row, column)
