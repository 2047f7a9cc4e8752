"""`w2s errors`: the test rows of a cell as a table, as whole texts, or as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from w2s_ray.cli.options import store_url
from w2s_ray.cli.report import store_of
from w2s_ray.cli.say import say
from w2s_ray.core.errors import InputError
from w2s_ray.core.plugins import closest
from w2s_ray.engine.store import open_store
from w2s_ray.reports.file import folder_of, read_results
from w2s_ray.reports.schema import CellResult, Results
from w2s_ray.study.errors import WHERE, WHO, Answered, ErrorRow, Said, error_rows, find_cell

LONGEST = 24  # letters of an answer in a table
LEAST = 16  # of a text, however narrow the terminal is
GAP = 2  # columns of the terminal
ABSTAINS = "—"


def print_errors(
    console: Console,
    name: str,
    runs: Path,
    store: str | None,
    names: Mapping[str, str | int | None],
    where: str,
    n: int,
    full: bool,
    file: Path | None,
) -> None:
    """What is asked of one cell: who answered how many rows how, then the rows. Their texts are in the store
    that is named, or where the run says."""
    if where not in WHERE:
        raise InputError(f"--where {where} is not a sort of rows{closest(where, WHERE)}; there are: {', '.join(WHERE)}")
    results = read_results(name, runs)
    cell = find_cell(results, names)
    folder = folder_of(name, runs)
    known = None if store else store_of(results, folder)
    answered = error_rows(folder, known or open_store(store_url(store)), cell)
    rows = answered.where(where)
    for line in (*_heading(results, cell, names), _counted(answered), _chosen(where, len(rows), n)):
        say(console, line)
    if answered.no_texts:
        say(console, f"ids alone, without the texts: {answered.no_texts}")
    if rows:
        _print_whole(console, rows[:n]) if full else console.print(_table(rows[:n], console.width))
    if file is not None:
        _write(file, rows)
        say(console, f"{len(rows)} rows: {file}")


def _heading(results: Results, cell: CellResult, names: Mapping[str, str | int | None]) -> Iterator[str]:
    """Which cell it is, and how to see another one."""
    matching = sum(
        other.status != "failed" and all(wanted in (None, getattr(other, name)) for name, wanted in names.items())
        for other in results.cells
    )
    first = (
        f" (the first of {matching}; choose with --method, --task, --weak, --strong and --seed)" if matching > 1 else ""
    )
    yield f"{cell.method}, {cell.task}, {cell.weak} -> {cell.strong}, seed {cell.seed}{first}"


def _counted(answered: Answered) -> str:
    counts, rows = answered.counts, f"{len(answered.rows)} test rows"
    if not answered.has_teacher:
        return f"{rows}: the student errs in {counts['student-wrong']}; the weak labels have none of these rows"
    otherwise = counts["teacher-wrong"] - counts["copied"] - counts["corrected"]
    wrong = f", {otherwise} answered wrong in another way" if otherwise else ""
    return (
        f"{rows}: of the teacher's {counts['teacher-wrong']} errors the student copied {counts['copied']} and corrected"
        f" {counts['corrected']}{wrong}; {counts['own']} errors are its own"
    )


def _chosen(where: str, count: int, n: int) -> str:
    shown = f"; the first {n} are shown" if count > n else ""
    return f"{where}: {count} rows, those that the student is surest of first{shown}"


def _table(rows: Sequence[ErrorRow], width: int) -> Table:
    """A line a row. The texts stand last and share what the terminal has left."""
    answers = [[_cut(row.gold), *(_cut(_answer(said)) + _surely(said) for said in _said(row).values())] for row in rows]
    lines = [["id", "gold", *WHO], *([row.id, *said] for row, said in zip(rows, answers, strict=True))]
    taken = sum(max(map(len, cells)) + GAP for cells in zip(*lines, strict=True))
    room = max(LEAST, (width - taken) // max(1, len(rows[0].inputs)) - GAP)
    table = Table(*lines[0], *rows[0].inputs, box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for row, line in zip(rows, lines[1:], strict=True):
        table.add_row(*map(Text, (*line, *(_cut(text, room) for text in row.inputs.values()))))
    return table


def _print_whole(console: Console, rows: Sequence[ErrorRow]) -> None:
    for row in rows:
        table = Table(box=None, show_header=False, pad_edge=False)
        answers = {who: _answer(said) + _surely(said) for who, said in _said(row).items()}
        for name, text in {"id": row.id, **row.inputs, "gold": row.gold, **answers}.items():
            table.add_row(Text(name, "bold"), Text(text))
        console.print(table, "")


def _said(row: ErrorRow) -> dict[str, Said | None]:
    return {who: getattr(row, who) for who in WHO}


def _answer(said: Said | None) -> str:
    return ABSTAINS if said is None or said.answer is None else said.answer


def _surely(said: Said | None) -> str:
    return "" if said is None or said.confidence is None else f"  {said.confidence:.2f}"


def _cut(text: str, letters: int = LONGEST) -> str:
    line = " ".join(text.split())
    return line if len(line) <= letters else f"{line[: letters - 1]}…"


def _write(file: Path, rows: Sequence[ErrorRow]) -> None:
    """All of it, with the probability that each gave its answer."""
    try:
        with open(file, "w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            texts = list(rows[0].inputs) if rows else []
            writer.writerow(["id", *texts, "gold", *(f"{who}{part}" for who in WHO for part in ("", "_p"))])
            writer.writerows(_cells(row) for row in rows)
    except OSError as error:
        raise InputError(f"--csv {file} cannot be written ({error.strerror}); name another file") from None


def _cells(row: ErrorRow) -> list[str | float | None]:
    answers = (
        part for said in _said(row).values() for part in ((said.answer, said.confidence) if said else (None, None))
    )
    return [row.id, *row.inputs.values(), row.gold, *answers]
