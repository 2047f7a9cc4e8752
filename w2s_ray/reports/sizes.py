"""Ensembles against their number of members: the labels' quality for every prefix of the members, as rows, as CSV and
as a picture."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean
from typing import Any

from w2s_ray.reports.schema import Results, Size

COLUMNS = ("method", "task", "weak", "strong", "seeds", "members", "accuracy", "log_loss", "ece", "disagreement")
CSV_FILE, PICTURE = "ensemble-sizes.csv", "ensemble-sizes.svg"


def size_rows(results: Results) -> list[dict[str, Any]]:
    """Means over the seeds of each group that has ensembles."""
    rows = []
    for group, cells in results.groups.items():
        curves = [cell.sizes for cell in cells if cell.sizes]
        for entries in zip(*curves, strict=False):
            names = dict(zip(("method", "task", "weak", "strong"), group, strict=True))
            rows.append(
                names
                | {"seeds": len(curves), "members": entries[0].members}
                | {name: _mean(entries, name) for name in COLUMNS[6:]}
            )
    return rows


def _mean(entries: tuple[Size, ...], name: str) -> float | None:
    values = [getattr(entry, name) for entry in entries]
    return None if None in values else mean(values)


def write_sizes(folder: Path, results: Results) -> None:
    """The table and the picture; neither where no method has an ensemble."""
    rows = size_rows(results)
    if not rows:
        for name in (CSV_FILE, PICTURE):
            (folder / name).unlink(missing_ok=True)
        return
    with open(folder / CSV_FILE, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    _draw(folder / PICTURE, rows)


def _draw(path: Path, rows: list[dict[str, Any]]) -> None:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (name, title) in zip(
        figure.subplots(1, 3),
        [
            ("accuracy", "accuracy of the labels"),
            ("ece", "calibration error"),
            ("disagreement", "disagreement of two members"),
        ],
        strict=True,
    ):
        for group in dict.fromkeys(tuple(row[key] for key in COLUMNS[:4]) for row in rows):
            points = [
                (row["members"], row[name])
                for row in rows
                if tuple(row[key] for key in COLUMNS[:4]) == group and row[name] is not None
            ]
            axes.plot(*zip(*points, strict=True) if points else ([], []), marker=".", label=f"{group[0]}, {group[1]}")
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("members")
    figure.axes[0].legend(fontsize="x-small")
    figure.savefig(path, metadata={"Date": None})
