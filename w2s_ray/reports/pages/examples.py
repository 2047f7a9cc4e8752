"""Test rows that teacher or student got wrong, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2s_ray.reports.document import Paragraph, Section, Table

SORTS = {
    "copied": "the student repeats its teacher's error",
    "corrected": "the teacher is wrong, the student right",
    "own": "the teacher is right, the student wrong",
}


@dataclass(frozen=True)
class Example:
    """A row of a cell, and what was said of it."""

    cell: str
    sort: str  # of `SORTS`
    text: str
    gold: str
    teacher: str
    student: str
    ceiling: str


def examples_section(name: str, examples: Sequence[Example]) -> Section | None:
    """Those of the first cells; a page lets people choose among cells and sorts."""
    if not examples:
        return None
    header = ("cell", "which", "text", "gold", "teacher", "student", "ceiling")
    rows = tuple(
        (one.cell, SORTS[one.sort], one.text, one.gold, one.teacher, one.student, one.ceiling) for one in examples
    )
    note = (
        "Of each of the first cells and each sort the test rows that the student is surest of; texts are cut. All of"
        f" them, of every cell: `w2s errors {name}`."
    )
    return Section("Rows that went wrong", (Paragraph(note), Table(header, rows, len(header), filters=(0, 1))))
