"""Cells that all tests of a file share: rows are prepared once, and what one test has fitted another finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from small_cell import Cell, opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the stores of a file's cells are. The cache is that of all tests, which a test alone would set too late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2S_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def cells(folder: Path) -> Iterator[Callable[[str], Cell]]:
    """A cell by its kind of rows, opened when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(opened(folder / kind, kind)))


@pytest.fixture(scope="module")
def cell(cells: Callable[[str], Cell]) -> Cell:
    return cells("text")


@pytest.fixture(scope="module")
def plan(folder: Path) -> Iterator[Cell]:
    """A cell in which nothing is computed: for keys."""
    with opened(folder / "plan", dry=True) as cell:
        yield cell
