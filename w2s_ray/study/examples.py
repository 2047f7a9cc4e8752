"""The rows for a report's page: of the first cells, those that the student is surest of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from w2s_ray.core.errors import InputError
from w2s_ray.engine.store import Store
from w2s_ray.reports.pages.examples import SORTS, Example
from w2s_ray.reports.schema import CellResult, Results
from w2s_ray.study.errors import ErrorRow, Said, error_rows

CELLS, OF_A_SORT, LETTERS = 4, 15, 320


def examples(results: Results, folder: Path, store: Store) -> list[Example]:
    """Of a run whose rows are at hand; none of one whose files are not."""
    firsts = (cells[0] for cells in results.groups.values() if cells[0].status != "failed")
    return [example for cell in islice(firsts, CELLS) for example in _of(cell, results, folder, store)]


def _of(cell: CellResult, results: Results, folder: Path, store: Store) -> Iterator[Example]:
    try:
        answered = error_rows(folder, store, cell)
    except InputError:
        return
    if answered.no_texts or not answered.has_teacher:
        return
    for sort in SORTS:
        for row in answered.where(sort)[:OF_A_SORT]:
            yield _example(f"{results.label(cell.group)}, seed {cell.seed}", sort, row)


def _example(cell: str, sort: str, row: ErrorRow) -> Example:
    text = " | ".join(" ".join(part.split()) for part in row.inputs.values())
    cut = text if len(text) <= LETTERS else f"{text[:LETTERS]}…"
    return Example(cell, sort, cut, row.gold, _said(row.teacher), _said(row.student), _said(row.ceiling))


def _said(said: Said | None) -> str:
    if said is None or said.answer is None:
        return "nothing"
    return said.answer if said.confidence is None else f"{said.answer} ({said.confidence:.2f})"
