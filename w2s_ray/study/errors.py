"""The test rows of one cell, as its teacher, its student and its ceiling answered them: what the student copied of its
teacher's errors, what it corrected, and where it erred by itself.

Answers come from the run's `cells.parquet`; what the rows say is in the store, where the score's record leads to it.
Without the store the rows have their ids alone.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w2s_ray.core.answers import Answers, load_labels
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DamagedArtifact, DataError, IdentityError, InputError, StoreError
from w2s_ray.core.plugins import closest
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store
from w2s_ray.eval.score import CELLS
from w2s_ray.reports.schema import CellResult, Results

WHO = {"teacher": "floor", "student": "student", "ceiling": "ceiling"}  # what people call it -> what a score calls it
NAMES = ("method", "task", "weak", "strong", "seed")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """An answer, None where it abstains, and the probability that it was given, where that is known."""

    answer: str | None
    confidence: float | None


@dataclass(frozen=True)
class ErrorRow:
    """A test row, and what was said of it."""

    id: str
    inputs: Mapping[str, str]  # column -> text; empty where the rows are not at hand
    gold: str
    teacher: Said | None  # None: the weak labels have none of the test rows
    student: Said
    ceiling: Said

    @property
    def student_wrong(self) -> bool:
        return self.student.answer != self.gold

    @property
    def teacher_wrong(self) -> bool:
        return self.teacher is not None and self.teacher.answer != self.gold

    @property
    def agree(self) -> bool:
        said = self.student.answer
        return self.teacher is not None and said is not None and said == self.teacher.answer


WHERE: Mapping[str, Callable[[ErrorRow], bool]] = {
    "student-wrong": lambda row: row.student_wrong,
    "copied": lambda row: row.teacher_wrong and row.agree,
    "corrected": lambda row: row.teacher_wrong and not row.student_wrong,
    "own": lambda row: row.teacher is not None and not row.teacher_wrong and row.student_wrong,
    "teacher-wrong": lambda row: row.teacher_wrong,
    "disagree": lambda row: row.teacher is not None and not row.agree,
    "all": lambda row: True,
}


@dataclass(frozen=True)
class Answered:
    """All test rows of a cell, those that the student is surest of first."""

    cell: CellResult
    rows: tuple[ErrorRow, ...]
    no_texts: str = ""  # why the rows have ids alone

    @property
    def has_teacher(self) -> bool:
        return any(row.teacher is not None for row in self.rows)

    def where(self, what: str) -> list[ErrorRow]:
        """The rows of one sort; a teacher that answered none of them has neither erred nor been copied."""
        if not self.has_teacher and what not in ("student-wrong", "all"):
            raise InputError(
                f"--where {what} compares with the teacher, and the weak labels of {self.cell.weak} have none of the"
                " test rows; use --where student-wrong, or give labels of the test rows too"
            )
        return [row for row in self.rows if WHERE[what](row)]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many rows there are of each sort."""
        return Counter(what for row in self.rows for what, holds in WHERE.items() if holds(row))


@dataclass(frozen=True)
class _AtHand:
    """What the store knows of the test rows. Answers in words have their log-probability there and nowhere else."""

    rows: Dataset | None = None
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # id -> column -> text
    log_p: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of whom -> id -> log p of the answer
    missing: str = ""

    def name(self, id: str, number: int) -> str:
        """A class as people know it: of a choice the candidate, of a preference the text that is preferred."""
        if self.rows is None:
            return str(number)
        if self.rows.kind.placed:
            return str(json.loads(self.texts[id]["choices"])[number])
        return self.rows.kind.columns[number] if self.rows.kind.offers else self.rows.classes[number]


def find_cell(results: Results, names: Mapping[str, str | int | None]) -> CellResult:
    """The first scored cell with these names (of `NAMES`; None leaves one open)."""
    cells = [cell for cell in results.cells if cell.status != "failed"]
    if not cells:
        raise InputError(f"no cell of {results.name} has a score; `w2s report {results.name}` says why")
    for name, wanted in names.items():
        known = list(dict.fromkeys(getattr(cell, name) for cell in cells))
        cells = [cell for cell in cells if wanted is None or getattr(cell, name) == wanted]
        if not cells:
            raise InputError(
                f"--{name} {wanted}: there is no such cell{closest(str(wanted), map(str, known))}; with what else is"
                f" asked there are: {', '.join(map(str, known))}"
            )
    return cells[0]


def error_rows(folder: Path, store: Store, cell: CellResult) -> Answered:
    """Every test row of a cell of the run in `folder`."""
    table = _predictions(folder / CELLS, cell)
    known = _at_hand(store, cell)
    try:
        rows = [_row(row, known) for row in table]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _not_ours(folder / CELLS, error) from None
    return Answered(cell, tuple(sorted(rows, key=lambda row: -(row.student.confidence or 0.0))), known.missing)


def _predictions(path: Path, cell: CellResult) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"{path}: no such file; run the study again, which computes nothing twice")
    of_cell = [(name, "=", getattr(cell, name)) for name in NAMES]
    try:
        rows: list[Row] = pq.read_table(path, filters=[*of_cell, ("split", "=", "test")]).to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _not_ours(path, error) from None
    return rows


def _not_ours(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is not what `w2s run` wrote ({type(error).__name__}); run the study again, which computes nothing"
        " twice"
    )


def _row(row: Row, known: _AtHand) -> ErrorRow:
    said = {who: _said(row, who, known) for who in WHO}
    student, ceiling = said["student"], said["ceiling"]
    if student is None or ceiling is None:
        raise KeyError("student")
    gold = row["gold_text"] if row.get("gold_text") is not None else known.name(row["id"], row["gold"])
    return ErrorRow(row["id"], known.texts.get(row["id"], {}), gold, said["teacher"], student, ceiling)


def _said(row: Row, who: str, known: _AtHand) -> Said | None:
    arm = WHO[who]
    if (text := row.get(f"{arm}_text")) is not None:
        log_p = known.log_p.get(who, {}).get(row["id"], 0.0)
        return Said(text or None, math.exp(log_p) if log_p else None)
    number = row.get(f"{arm}_class")
    if number is None:
        return None
    return Said(known.name(row["id"], number), row[f"{arm}_p{number}"]) if number >= 0 else Said(None, None)


def _at_hand(store: Store, cell: CellResult) -> _AtHand:
    """The test rows: the score was made of the step that split them."""
    try:
        score = store.find(str(cell.keys.get("score")))
        if score is None:
            return _AtHand(missing=f"the store {store.url} does not have them; name theirs with --store")
        prepared = store.open(Key.parse(score.inputs["slices"])).record
        rows = Dataset.load(store.open(Key.parse(prepared.value["splits"]["test"])).path)
        log_p = _log_p(store, score) if rows.kind.generated else {}
    except (DamagedArtifact, StoreError, IdentityError, DataError, KeyError, OSError) as error:
        return _AtHand(missing=f"the store {store.url} does not have them whole ({' '.join(str(error).split())})")
    columns = {column: rows.inputs[column].tolist() for column in rows.kind.columns}
    texts = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _AtHand(rows, dict(zip(rows.ids.tolist(), texts, strict=True)), log_p)


def _log_p(store: Store, score: Record) -> dict[str, dict[str, float]]:
    """What a model gave its whole answer; 0 where it is not known."""
    found = {}
    for who, arm in WHO.items():
        answers = load_labels(store.open(Key.parse(score.inputs[arm])).path) if arm in score.inputs else None
        if isinstance(answers, Answers):
            found[who] = dict(zip(answers.ids.tolist(), answers.log_p_N.tolist(), strict=True))
    return found
