"""The pages of a report: each module makes sections of results."""

from __future__ import annotations

from collections.abc import Sequence

from w2s_ray.reports.document import Document, Paragraph
from w2s_ray.reports.pages import (
    calibration,
    comparisons,
    costs,
    curves,
    diagnostics,
    examples,
    gap,
    labels,
    setup,
    sweep,
)
from w2s_ray.reports.pages.examples import Example
from w2s_ray.reports.schema import Results


def study_page(results: Results, rows: Sequence[Example] = ()) -> Document:
    """A study's results: what was expected, what came out with intervals, what was left out, how to repeat it; and rows
    that went wrong, where they are at hand."""
    sections = [
        gap.gap_section(results),
        comparisons.comparisons_section(results),
        sweep.sweep_section(results),
        gap.excluded_section(results),
        labels.labels_section(results),
        labels.errors_section(results),
        examples.examples_section(results.name, rows),
        calibration.calibration_section(results),
        *diagnostics.diagnostic_sections(results),
        setup.setup_section(results),
        curves.curves_section(results),
        gap.seeds_section(results),
        gap.keys_section(results),
        gap.steps_section(results),
        costs.costs_section(results),
        gap.repeat_section(results),
    ]
    hypothesis = Paragraph(f"**Hypothesis.** {results.hypothesis.strip() or 'None was stated.'}")
    files = (*sweep.sweep_files(results), *diagnostics.diagnostic_files(results))
    return Document(results.name, (hypothesis,), tuple(section for section in sections if section is not None), files)
