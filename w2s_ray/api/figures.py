"""The figures of a report, which draw themselves in a notebook."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from w2s_ray.reports.document import Figure


class Drawn:
    """A figure. A notebook draws it; `save` writes it to a file, in the format of its suffix: .svg, .pdf, .png."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure

    @property
    def name(self) -> str:
        return Path(self._figure.file).stem

    def save(self, path: str | Path) -> Path:
        path = Path(path)
        _draw(self._figure, path)
        return path

    @cached_property
    def svg(self) -> str:
        """The figure as SVG."""
        with tempfile.TemporaryDirectory(prefix="w2s-figure-") as folder:
            drawn = self.save(Path(folder) / "figure.svg").read_text(encoding="utf-8")
        return drawn[drawn.index("<svg") :]  # inside a page it has no prolog

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Figure {self.name}>"


class Figures(Mapping[str, Drawn]):
    """Figures by name. A notebook draws them all."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._drawn = {drawn.name: drawn for drawn in map(Drawn, figures)}

    def __getitem__(self, name: str) -> Drawn:
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)

    def _repr_html_(self) -> str:
        return "".join(f"<div>{figure.svg}</div>" for figure in self.values()) or "<p>This study has no figures.</p>"

    def __repr__(self) -> str:
        return f"<Figures {', '.join(self) or 'none'}>"


def _draw(figure: Figure, path: Path) -> None:
    """The one place that knows how a report's figure is drawn."""
    figure.draw(path)
