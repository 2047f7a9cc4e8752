"""The figures of a report, which draw themselves in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path

from w2s_ray.reports.document import Figure
from w2s_ray.reports.drawing import inline, on_white, save_as, svg_of


class Drawn:
    """A figure. A notebook draws it; `save` writes it to a file, in the format of its suffix: .svg, .pdf, .png.

    `title` says what it shows; `alt`, to those who cannot see it, what there is to be seen.
    """

    def __init__(self, figure: Figure) -> None:
        self._figure = figure

    @property
    def name(self) -> str:
        return Path(self._figure.file).stem

    @property
    def title(self) -> str:
        return self._figure.title

    @property
    def alt(self) -> str:
        return self._figure.alt

    def save(self, path: str | Path) -> Path:
        save_as(self._figure, Path(path))
        return Path(path)

    @cached_property
    def svg(self) -> str:
        """The figure as SVG."""
        drawn = on_white(self._picture)
        return drawn[drawn.index("<svg") :]  # inside a page it has no prolog

    @cached_property
    def _picture(self) -> str:
        return svg_of(self._figure)

    def _repr_svg_(self) -> str:
        return self.svg

    def _in_page(self) -> str:
        """In the colour of the text around it, with its title below."""
        picture = f'<div role="img" aria-label="{escape(self.alt)}">{inline(self._picture, self.name)}</div>'
        return f"<figure>{picture}<figcaption>{escape(self.title)}</figcaption></figure>"

    def __repr__(self) -> str:
        return f"<Figure {self.name}: {self.title}>"


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
        return "".join(figure._in_page() for figure in self.values()) or "<p>This study has no figures.</p>"

    def __repr__(self) -> str:
        return f"<Figures {', '.join(self) or 'none'}>"
