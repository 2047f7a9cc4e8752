"""`results`: what a study came to, as data frames, a table, figures and a report."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.api import frames
from w2s_ray.api.figures import Figures
from w2s_ray.api.html import section_html
from w2s_ray.config.load import parse_value
from w2s_ray.core.errors import CellsFailed, ConfigError, InputError
from w2s_ray.engine.folders import is_url, readable
from w2s_ray.eval.score import CELLS
from w2s_ray.reports.console import Terminal
from w2s_ray.reports.document import Document
from w2s_ray.reports.file import folder_of, read_results
from w2s_ray.reports.markdown import render
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.pages.brief import brief_section
from w2s_ray.reports.schema import Results, parse
from w2s_ray.reports.terminal import render as printed

if TYPE_CHECKING:
    import pandas as pd

CONFIG = "config.resolved.yaml"


def results(name: str | Path, runs: str | Path | None = None) -> StudyResults:
    """The results of a study that has run: by its name below `runs` (a folder or a URL; runs/ here if it is not said),
    or by the folder or URL that they lie in."""
    asked, below = str(name), str(runs or "runs")
    if is_url(asked):
        below, _, asked = asked.rstrip("/").rpartition("/")
    local = readable(below)
    place = f"{below.rstrip('/')}/{asked}" if is_url(below) else str(folder_of(asked, local).resolve())
    return StudyResults(read_results(asked, local), place)


class StudyResults:
    """What a study came to. A notebook shows its table; `print` prints it.

    `data` is all that its results.json says, `folder` where the files of the run lie: a path, or a URL.
    """

    def __init__(self, data: Results, folder: str) -> None:
        self.data, self.folder = data, folder

    @classmethod
    def of(cls, found: Mapping[str, Any], runs: str) -> StudyResults:
        """Of a run that has just ended."""
        data = parse(found)
        below = runs.rstrip("/") if is_url(runs) else str(Path(runs).resolve())
        return cls(data, f"{below}/{data.name}")

    # --- numbers ---

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell: method, task, models and seed, what the grid chose, status, floor, student, ceiling, gap
        recovered (`pgr`), and further metrics. Of a failed cell the numbers are missing, and `reason` says why."""
        return frames.cells(self.data)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row a method, task and pair of models, over its seeds, with 95 % intervals (`_low`, `_high`)."""
        return frames.summary(self.data)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """A row a comparison with the baseline: on one task and pair of models (`over` is `pair`) or on all of them
        (`all`). Empty where there is one method."""
        return frames.comparisons(self.data)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row a cell and row of its data: gold, and what floor, student and ceiling said of a test row, or the weak
        labels of a pool row. Read when it is first asked for; a study of a thousand cells has millions."""
        return frames.predictions(f"{self.folder}/{CELLS}")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The study's config with every default."""
        config = parse_value(_read(f"{self.folder}/{CONFIG}"))
        if not isinstance(config, dict):
            raise ConfigError(f"{self.folder}/{CONFIG} is not what a run wrote; run the study again")
        return config

    # --- for people ---

    def table(self) -> str:
        """The table that `w2s run` ends with."""
        out = io.StringIO()
        Terminal(file=out, width=100, force_jupyter=False).print(printed(brief_section(self.data)))
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"

    @cached_property
    def report(self) -> str:
        """The whole report, in Markdown."""
        return render(self._page)

    @cached_property
    def figures(self) -> Figures:
        """The report's figures by name; a notebook draws them."""
        return Figures(self._page.figures())

    @cached_property
    def _page(self) -> Document:
        return study_page(self.data)

    # --- what went wrong ---

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Failed cells, those with one cause together: `error`, `traceback`, `log`, `cells`."""
        return list((self.data.model_extra or {}).get("failures", ()))

    def raise_for_failures(self) -> StudyResults:
        """These results, if no cell has failed; else CellsFailed, or InputError where all failed for what was given to
        them."""
        failures = self.failures
        if not failures:
            return self
        said = "; ".join(f"{len(one['cells'])} with {one['error']}" for one in failures[:3])
        kind = InputError if all(one["users"] for one in failures) else CellsFailed
        num_failed = sum(len(one["cells"]) for one in failures)
        raise kind(f"{self.data.name}: {num_failed} of {len(self.data.cells)} cells failed: {' '.join(said.split())}")

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        failed = sum(len(one["cells"]) for one in self.failures)
        return f"<StudyResults {self.data.name}: {len(self.data.cells)} cells{f', {failed} failed' if failed else ''}>"

    def _repr_html_(self) -> str:
        return section_html(brief_section(self.data))


def _read(place: str) -> str:
    """A text of the run's folder."""
    import fsspec

    try:
        with fsspec.open(place, encoding="utf-8", mode="rt") as file:
            return str(file.read())
    except Exception as error:
        if isinstance(error, OSError) or is_url(place):  # each file system has errors of its own
            raise InputError(f"{place} cannot be read ({error}); run the study again, which writes it") from None
        raise
