"""Pictures: one look for all, as files and inside a page, where their ink is that of the page's text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.reports.document import Document, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

INK = "#3a3b3c"  # of text and lines; no other colour is this one
# Okabe and Ito's colours, apart for most who see few; those that can be told from white and from black.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f")
MOST_LETTERS = 28  # of a name in a picture
_STYLE: dict[str, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.titlesize": "medium",
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "font.size": 9,
    "legend.fontsize": "small",
    "lines.linewidth": 1.4,
    "text.parse_math": False,  # somebody's name may hold dollars
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "w2s",  # the same picture, the same file
}


def canvas(width: float, height: float) -> Picture:
    """An empty picture, in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(picture)
    return picture


def panels(picture: Picture, rows: int, columns: int, used: int, **shared: Any) -> list[Axes]:
    """The first ones of a grid; the others are not shown."""
    found = list(picture.subplots(rows, columns, squeeze=False, **shared).ravel())
    for axes in found[used:]:
        axes.set_axis_off()
    return found[:used]


def colour(place: int) -> str:
    return PALETTE[place % len(PALETTE)]


def short(name: str, letters: int = MOST_LETTERS) -> str:
    """What a picture has room for: the end of a name, which tells places and columns apart."""
    return name if len(name) <= letters else f"…{name[-letters:]}"


def named_rows(axes: Axes, names: Sequence[str]) -> None:
    """The first one on top."""
    axes.set_yticks(range(len(names)), [short(name, 2 * MOST_LETTERS) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def log_axis(axes: Axes, ticks: Sequence[float] = ()) -> None:
    """The x axis; its numbers in plain letters, for no text is read as mathematics. `ticks`: the only ones."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks) if ticks else LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(lambda value, _: amount(value))
    axes.xaxis.set_minor_formatter(NullFormatter())


def amount(value: float) -> str:
    """`132 k`, `7.1 B`, `0.001`, in three digits."""
    for unit, name in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


Pictures = Mapping[str, str]  # the name of a figure's file -> SVG


def draw(document: Document) -> Pictures:
    """All of a document's pictures."""
    return {figure.file: svg_of(figure) for figure in document.figures()}


def save(picture: str, path: Path) -> None:
    """As a file, on white."""
    path.write_text(on_white(picture), encoding="utf-8")


def on_white(picture: str) -> str:
    """With a background, for where it stands alone."""
    head, end, rest = picture.partition(">\n <metadata>")
    return f'{head}>\n <rect width="100%" height="100%" fill="white"/>{end[1:]}{rest}'


def inline(picture: str, prefix: str) -> str:
    """As a part of a page: without a background, its names made unique by `prefix`."""
    text = picture[picture.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="|url\(#|href="#', lambda found: f"{found[0]}{prefix}-", text)
    return text.replace(INK, "currentColor")


def svg_of(figure: Figure) -> str:
    """A picture, for a page or a file."""
    written = io.BytesIO()
    with _look():
        figure.draw().savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue().decode("utf-8")


def save_as(figure: Figure, path: Path) -> None:
    """A picture in the format of a file's suffix, on white."""
    if path.suffix == ".svg":
        save(svg_of(figure), path)
        return
    with _look():
        figure.draw().savefig(path, facecolor="white")


@contextmanager
def _look() -> Iterator[None]:
    from cycler import cycler
    from matplotlib import rc_context

    style: Any = {**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the reader's fonts may have what ours lacks
        yield
