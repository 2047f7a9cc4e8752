"""All runs of a folder on one page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from w2s_ray.reports.document import Document, Entry, Link, Notes, Paragraph, Part, Section, Table
from w2s_ray.reports.schema import Results
from w2s_ray.reports.wording import NOTHING, STATES, gap_recovered, scale_of

PAGE = "index.html"
MOST = 3  # rows of a study that are shown here


def index_page(runs: Mapping[str, Results], unreadable: Mapping[str, str]) -> Document:
    """Of studies by the names of their folders; and of those that cannot be read, why."""
    header = ("study", "expected", "task", "weak → strong", "method", "gap recovered [95 %]", "student", "cells")
    rows = [row for folder, results in runs.items() for row in _rows(folder, results)]
    table: Part = Table((*header, *STATES.values()), tuple(rows), 5) if rows else Paragraph("No study has ended here.")
    notes = Notes(tuple(f"{folder}: {why}" for folder, why in unreadable.items()))
    return Document("Runs", (), (Section("Studies", (table, notes) if unreadable else (table,)),))


def _rows(folder: str, results: Results) -> list[tuple[Entry, ...]]:
    """A row a method and setting, the first few of a study."""
    states = [str(cell.status) for cell in results.cells]
    counts = (str(len(states)), *(str(states.count(state)) for state in STATES))
    name: Entry = Link(results.name, f"{quote(folder)}/report.html")
    expected = results.hypothesis.strip() or NOTHING
    scale = scale_of(results)
    rows: list[tuple[Entry, ...]] = [
        (
            *(name, expected, row.task, f"{row.weak} → {row.strong}", row.method),
            *(gap_recovered(row), scale.mean(row.student), *counts),
        )
        for row in results.summary[:MOST]
    ]
    return rows or [(name, expected, *[NOTHING] * 5, *counts)]
