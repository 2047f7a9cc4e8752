"""What methods declared beside their students: each table over seeds, its numbers as a file, its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from w2s_ray.reports.document import DataFile, Figure, Paragraph, Part, Section, Table
from w2s_ray.reports.drawing import canvas, colour, panels, short
from w2s_ray.reports.schema import DiagnosticColumn, Group, MethodDiagnostic, Results
from w2s_ray.reports.wording import NOTHING, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

NUMBERS = ("share", "number")
OWN = ("gap", "compared", "sizes", "sweep", "calibration", "loss")  # files of every report
SHOWN: dict[str, Callable[[Any], str]] = {
    "share": percent,
    "number": lambda value: NOTHING if value is None else f"{value:.3f}",
}


@dataclass(frozen=True)
class _Over:
    """One diagnostic of one group of cells: rows over seeds."""

    group: Group
    first: MethodDiagnostic
    seeds: int
    rows: list[dict[str, Any]]


def diagnostic_sections(results: Results) -> list[Section]:
    """One a name, with a row a group of cells and row of the table."""
    return [_section(tables) for tables in _by_name(results).values()]


def diagnostic_files(results: Results) -> list[DataFile]:
    """All rows, with numbers as they are."""
    return [_file(name, tables) for name, tables in _by_name(results).items()]


def _stem(name: str) -> str:
    """Of its files: the report's own stay what they are."""
    return f"method-{name}" if name in OWN else name


def _by_name(results: Results) -> dict[str, list[_Over]]:
    found: dict[str, list[_Over]] = {}
    for group, cells in results.groups.items():
        named: dict[str, list[MethodDiagnostic]] = {}
        for cell in cells:
            for diagnostic in cell.diagnostics:
                named.setdefault(diagnostic.name, []).append(diagnostic)
        for name, of_seeds in named.items():
            found.setdefault(name, []).append(_Over(group, of_seeds[0], len(of_seeds), list(_means(of_seeds))))
    return found


def _means(of_seeds: list[MethodDiagnostic]) -> Iterator[dict[str, Any]]:
    """Row by row; as many as every seed has."""
    columns = of_seeds[0].columns
    for rows in zip(*(diagnostic.rows for diagnostic in of_seeds), strict=False):
        yield {column.name: _mean([row[column.name] for row in rows], column) for column in columns}


def _mean(values: list[Any], column: DiagnosticColumn) -> Any:
    """Of numbers the mean, none where a seed has none; of names the first seed's."""
    if column.show not in NUMBERS:
        return values[0]
    return None if None in values else fmean(values)


def _section(tables: list[_Over]) -> Section:
    first = tables[0].first
    names = [column for column in first.columns if column.show not in NUMBERS]
    numbers = [column for column in first.columns if column.show in NUMBERS]
    words = ([column.words for column in part] for part in (names, numbers))
    header = ("method", "task", "weak → strong", *next(words), "seeds", *next(words))
    rows = [_row(over, row, names, numbers) for over in tables for row in _on_page(over)]
    text = all(column.show == "text" for column in names[-1:])
    parts: list[Part] = [Table(header, tuple(rows), 3 + len(names) * text)]
    files = f"`{_stem(first.name)}.csv`"
    if first.figure is not None:
        parts.append(Figure(f"{_stem(first.name)}.svg", first.title, _in_words(tables), lambda: _draw(tables)))
        files += f" and `{_stem(first.name)}.svg`"
    if first.note or first.figure is not None:
        parts.append(Paragraph(f"{first.note} All numbers are in {files}.".strip()))
    return Section(first.title, tuple(parts))


def _on_page(over: _Over) -> list[dict[str, Any]]:
    return over.rows if over.first.on_page is None else [over.rows[n] for n in over.first.on_page if n < len(over.rows)]


def _row(
    over: _Over, row: dict[str, Any], names: list[DiagnosticColumn], numbers: list[DiagnosticColumn]
) -> tuple[str, ...]:
    method, task, weak, strong = over.group
    keys = (str(row[column.name]) for column in names)
    values = (SHOWN[column.show](row[column.name]) for column in numbers)
    return (method, task, f"{weak} → {strong}", *keys, str(over.seeds), *values)


def _file(name: str, tables: list[_Over]) -> DataFile:
    columns = [column.name for column in tables[0].first.columns]
    header = ("method", "task", "weak", "strong", "seeds", *columns)
    rows = [(*over.group, over.seeds, *(row[column] for column in columns)) for over in tables for row in over.rows]
    return DataFile(f"{_stem(name)}.csv", header, tuple(rows))


def _in_words(tables: list[_Over]) -> str:
    """The last point of each line."""
    first = tables[0].first
    assert first.figure is not None, "asked where there is one"
    words = {column.name: column for column in first.columns}
    told = []
    for over in tables:
        for name in first.figure.y:
            points = [(row[first.figure.x], row[name]) for row in over.rows if row[name] is not None]
            if points:
                x, y = points[-1]
                last = SHOWN[words[name].show](y) if words[name].show in SHOWN else str(y)
                told.append(f"{over.group[0]}, {words[name].words}: {last} at {words[first.figure.x].words} {x}")
    return "; ".join(told)


def _draw(tables: list[_Over]) -> Picture:
    """A panel for each column that the figure names."""
    curves = tables[0].first.figure
    assert curves is not None, "drawn where there is one"
    words = {column.name: column.words for column in tables[0].first.columns}
    picture = canvas(9, 3)
    for axes, name in zip(panels(picture, 1, len(curves.y), len(curves.y)), curves.y, strict=True):
        for place, over in enumerate(tables):
            points = [(row[curves.x], row[name]) for row in over.rows if row[name] is not None]
            xs, ys = zip(*points, strict=True) if points else ((), ())
            axes.plot(xs, ys, ".-", color=colour(place), label=short(f"{over.group[0]}, {over.group[1]}"))
        axes.set(title=words[name], xlabel=words[curves.x])
    picture.axes[0].legend()
    return picture
