"""A ladder of models: gap recovered for each weak and each strong model, as a section of the page, as CSV and as heat
maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from w2s_ray.reports.document import DataFile, Figure, Paragraph, Section, Table
from w2s_ray.reports.drawing import INK, canvas, panels, short
from w2s_ray.reports.pages.pictures import sizes_figure
from w2s_ray.reports.schema import Results, Sweep, SweepPair
from w2s_ray.reports.wording import GOLD_MARK, NOTHING, Scale, no_ratio, ratio, scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

DARK = 0.435  # below, white letters can be told from the colour; from there on black ones (contrast 4.5)
COLUMNS = (
    "method",
    "task",
    "weak",
    "strong",
    "seeds",
    "gap_seeds",
    "floor",
    "student",
    "ceiling",
    "pgr",
    "oracle",
    "median_pgr_openai",
)
CSV_FILE, PICTURE = "sweep.csv", "sweep.svg"
MOST_MAPS, MAPS_A_ROW = 24, 4


def sweep_section(results: Results) -> Section | None:
    """A table a method and task; nothing where the study has a single pair of models."""
    if not results.sweep:
        return None
    drawn = "" if len(results.sweep) <= MOST_MAPS else f", the first {MOST_MAPS} maps"
    scale = scale_of(results)
    note = (
        f"Gap recovered, the median over seeds, with the student's mean test {scale.name}. The median over runs is that"
        " of OpenAI's notebook: each run against the means over seeds of floor and ceiling, without the rule for `no"
        f" gap`. Numbers: `{CSV_FILE}`; picture: `{PICTURE}`{drawn}."
    )
    maps = Figure(PICTURE, "Gap recovered by pair of models", _in_words(results), lambda: _draw(results))
    sizes = sizes_figure(results)
    inner = tuple(_ladder(results, entry, scale) for entry in results.sweep)
    return Section("Weak and strong models", (Paragraph(note), maps, *((sizes,) if sizes else ())), inner)


def _in_words(results: Results) -> str:
    """The numbers stand in tables; what a picture shows at once is where most is recovered."""
    told = []
    for entry in results.sweep[:MOST_MAPS]:
        known = [pair for pair in entry.pairs if pair.pgr is not None]
        best = max(known, key=lambda pair: pair.pgr or 0.0, default=None)
        most = "no pair has a gap" if best is None else f"most ({ratio(best.pgr)}) from {best.weak} to {best.strong}"
        told.append(f"{entry.method}, {entry.task}: {most}")
    return "Heat maps. " + "; ".join(told)


def _ladder(results: Results, entry: Sweep, scale: Scale) -> Section:
    weak, strong, pairs = _axes(entry)
    rows = [(w, *(_shown(pairs.get((w, s)), scale) for s in strong)) for w in weak]
    runs = "1 run" if entry.num_runs_openai == 1 else f"{entry.num_runs_openai} runs"
    median = f"Median over {runs}: {ratio(entry.median_pgr_openai)}."
    if not entry.num_runs_openai:
        median = "No run has a ceiling above its floor."
    return Section(
        f"{entry.method}{_mark(results, entry)}, {entry.task}",
        (Table(("weak ↓ strong →", *strong), tuple(rows), 1), Paragraph(median)),
    )


def sweep_files(results: Results) -> tuple[DataFile, ...]:
    """The numbers; none where the study has a single pair of models."""
    rows = [_line(results, entry, pair) for entry in results.sweep for pair in entry.pairs]
    return (DataFile(CSV_FILE, COLUMNS, tuple(rows)),) if rows else ()


def _line(results: Results, entry: Sweep, pair: SweepPair) -> tuple[object, ...]:
    oracle = int(results.saw_gold((entry.method, entry.task, pair.weak, pair.strong)))
    names = (entry.method, entry.task, pair.weak, pair.strong)
    arms = (pair.floor, pair.student, pair.ceiling, pair.pgr)
    return (*names, pair.num_seeds, pair.num_gap, *arms, oracle, entry.median_pgr_openai)


def _mark(results: Results, entry: Sweep) -> str:
    return f" {GOLD_MARK}" * any(
        results.saw_gold((entry.method, entry.task, pair.weak, pair.strong)) for pair in entry.pairs
    )


def _axes(entry: Sweep) -> tuple[list[str], list[str], dict[tuple[str, str], SweepPair]]:
    """Weak models, strong models (in the study's order), and what there is of their pairs."""
    pairs = {(pair.weak, pair.strong): pair for pair in entry.pairs}
    return list(dict.fromkeys(w for w, _ in pairs)), list(dict.fromkeys(s for _, s in pairs)), pairs


def _shown(pair: SweepPair | None, scale: Scale) -> str:
    if pair is None:
        return NOTHING
    return f"{no_ratio(pair) if pair.pgr is None else ratio(pair.pgr)} ({scale.show(pair.student)})"


def _draw(results: Results) -> Picture:
    entries, scale = results.sweep[:MOST_MAPS], scale_of(results)
    columns = min(len(entries), MAPS_A_ROW)
    rows = -(-len(entries) // columns)
    widest, highest = (max(len(_axes(entry)[axis]) for entry in entries) for axis in (1, 0))
    picture = canvas(columns * (1.6 + max(2.0, 0.7 * widest)) + 1, rows * (1.2 + max(1.8, 0.5 * highest)))
    maps = panels(picture, rows, columns, len(entries))
    for axes, entry in zip(maps, entries, strict=True):
        image = _map(axes, entry, scale)
        axes.set_title(f"{short(entry.method)}{_mark(results, entry)}, {short(entry.task)}", fontsize="small")
    picture.colorbar(image, ax=maps, label="gap recovered", extend="both")
    return picture


def _map(axes: Any, entry: Sweep, scale: Scale) -> Any:
    """One method and task: colours from 0 to 1, the numbers on them; white where there is no gap or no cell."""
    weak, strong, pairs = _axes(entry)
    found = [[pairs.get((w, s)) for s in strong] for w in weak]
    image = axes.imshow(
        [[float("nan") if pair is None or pair.pgr is None else pair.pgr for pair in of_weak] for of_weak in found],
        vmin=0,
        vmax=1,
        aspect="auto",
    )
    axes.grid(visible=False)
    for row, of_weak in enumerate(found):
        for column, pair in enumerate(of_weak):
            axes.text(
                column,
                row,
                _shown(pair, scale).replace(" (", "\n("),
                ha="center",
                va="center",
                fontsize="x-small",
                color=INK if pair is None or pair.pgr is None else "white" if pair.pgr < DARK else "black",
            )
    axes.set_xticks(range(len(strong)), map(short, strong), fontsize="x-small", rotation=20)
    axes.set_yticks(range(len(weak)), map(short, weak), fontsize="x-small")
    axes.set_xlabel("strong", fontsize="small")
    axes.set_ylabel("weak", fontsize="small")
    return image
