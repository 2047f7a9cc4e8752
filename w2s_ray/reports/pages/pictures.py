"""Pictures of the study's tables: the gap recovered, methods against the baseline, students against the sizes of
models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from w2s_ray.reports.document import Figure
from w2s_ray.reports.drawing import INK, canvas, colour, log_axis, named_rows, panels, short
from w2s_ray.reports.schema import Comparison, OverallRow, PairedRow, Results, SummaryRow
from w2s_ray.reports.wording import gap_recovered, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

GAP, FOREST, SIZES = "gap.svg", "compared.svg", "sizes.svg"
MOST_ROWS = 40
FARTHEST = 2.0  # of the gap recovered, where 0 and 1 mean something
ARMS = ("floor", "student", "ceiling")


def gap_figure(results: Results) -> Figure | None:
    """Each group's gap recovered with its interval and seeds, beside floor, student and ceiling of every seed."""
    rows = results.summary[:MOST_ROWS]
    if not rows:
        return None
    told = "; ".join(f"{results.label(row.group)}: {gap_recovered(row)}" for row in rows)
    title = "Gap recovered and its parts; each dot a seed"
    return Figure(GAP, title, f"Gap recovered. {told}.", lambda: _draw_gap(results, rows))


def _draw_gap(results: Results, rows: Sequence[SummaryRow]) -> Picture:
    picture = canvas(9, 1.5 + 0.34 * len(rows))
    left, right = panels(picture, 1, 2, 2, sharey=True)
    for line in (0.0, 1.0):
        left.axvline(line, color="#999999", linewidth=0.8)
    for place, row in enumerate(rows):
        cells = results.cells_of(row)
        seeds = [cell.pgr for cell in cells if cell.pgr is not None]
        left.plot(seeds, [place] * len(seeds), "o", color=colour(0), alpha=0.3, markersize=4)
        if row.pgr.median is not None:
            low, high = row.pgr.low, row.pgr.high
            left.plot([row.pgr.median], [place], "D", color=colour(0), markersize=5)
            if low is not None and high is not None:
                left.plot([low, high], [place, place], color=colour(0))
        else:
            left.text(0.5, place, gap_recovered(row), ha="center", va="center", fontsize="small")
        for nth, arm in enumerate(ARMS):
            values = [getattr(cell, arm) for cell in cells if getattr(cell, arm) is not None]
            label = arm if place == 0 else "_"  # which legends leave out
            right.plot(values, [place] * len(values), "o", color=colour(nth), alpha=0.6, markersize=4, label=label)
    _within(left)
    named_rows(left, [results.label(row.group) for row in rows])
    left.set(title="gap recovered [95 %]", xlabel="0: weak teacher, 1: ceiling")
    right.set(title=f"{scale_of(results).name} on the test rows")
    right.grid(axis="y", visible=False)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12 - 0.3 / len(rows)), ncols=3)
    return picture


def _within(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(max(min(low, -0.1), -FARTHEST), min(max(high, 1.1), 1 + FARTHEST))


def forest_figure(results: Results) -> Figure | None:
    """The methods' differences from the baseline with their intervals."""
    found = results.comparisons
    if found is None or not (found.pairs or found.overall):
        return None
    every: list[PairedRow | OverallRow] = [*found.pairs, *found.overall]
    rows = every[:MOST_ROWS]
    scale = scale_of(results)
    told = "; ".join(f"{_against(results, row)}: {scale.lead_with_interval(row.difference)}" for row in rows)
    title = f"Methods against the baseline: {scale.differences} [95 %]"
    return Figure(FOREST, title, f"{title}. {told}.", lambda: _draw_forest(results, rows))


def _against(results: Results, row: Comparison) -> str:
    if isinstance(row, PairedRow):
        return f"{results.label((row.method, row.task, row.weak, row.strong))} − {row.baseline}"
    return f"{row.method} − {row.baseline}, all"


def _draw_forest(results: Results, rows: Sequence[PairedRow | OverallRow]) -> Picture:
    scale = scale_of(results)
    picture = canvas(7.5, 1.1 + 0.3 * len(rows))
    (axes,) = panels(picture, 1, 1, 1)
    axes.axvline(0.0, color=INK, linewidth=0.9)
    for place, row in enumerate(rows):
        found, overall = row.difference, isinstance(row, OverallRow)
        low, mean, high = (scale.times * value for value in (found.low, found.mean, found.high))
        axes.plot([low, high], [place, place], color=colour(int(overall)))
        axes.plot([mean], [place], "D" if overall else "o", color=colour(int(overall)), markersize=5)
    named_rows(axes, [_against(results, row) for row in rows])
    axes.set(xlabel=scale.differences)
    return picture


def sizes_figure(results: Results) -> Figure | None:
    """Students against the sizes of their teachers, or where these do not vary, of the students themselves; nothing
    where sizes are not known."""
    sizes = {one.model: one.parameters for one in results.fitted if one.parameters}
    for role in ("weak", "strong"):
        lines = _lines(results, role, sizes)
        if any(len(points) > 1 for points in lines.values()):
            told = "; ".join(
                f"{name}: " + ", ".join(f"{size:,} parameters {student:.3f}" for size, student, *_ in points)
                for name, points in lines.items()
            )
            title = f"Students against the size of the {role} model"
            return Figure(SIZES, title, f"{title}. {told}.", partial(_draw_sizes, results, role, lines))
    return None


Lines = dict[str, list[tuple[int, float, float | None, float | None]]]


def _lines(results: Results, role: str, sizes: dict[str, int]) -> Lines:
    """By what else there is of a group, its points in the order of sizes: size, student, floor, ceiling."""
    found: Lines = defaultdict(list)
    for row in results.summary[: 3 * MOST_ROWS]:
        size = sizes.get(getattr(row, role))
        if size:
            other = row.strong if role == "weak" else row.weak
            floor, ceiling = (end.mean if end is not None else None for end in (row.floor, row.ceiling))
            found[f"{row.method}, {row.task}, {other}"].append((size, row.student.mean, floor, ceiling))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def _draw_sizes(results: Results, role: str, lines: Lines) -> Picture:
    picture = canvas(6.5, 3.6)
    (axes,) = panels(picture, 1, 1, 1)
    for place, (name, points) in enumerate(list(lines.items())[: MOST_ROWS // 4]):
        sizes = [size for size, *_ in points]
        axes.plot(sizes, [student for _, student, *_ in points], "o-", color=colour(place), label=short(name, 40))
        bound = [point[2 if role == "weak" else 3] for point in points]
        if None not in bound:
            axes.plot(sizes, bound, ":", color=colour(place), linewidth=1.0)  # type: ignore[arg-type]  # none is None
    axes.plot([], [], ":", color=INK, linewidth=1.0, label="the teacher itself" if role == "weak" else "the ceiling")
    log_axis(axes, sorted({size for points in lines.values() for size, *_ in points}))
    axes.set(xlabel=f"parameters of the {role} model", ylabel=scale_of(results).name)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return picture
