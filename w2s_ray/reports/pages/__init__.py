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
    origin,
    setup,
    sweep,
)
from w2s_ray.reports.pages.examples import Example
from w2s_ray.reports.schema import Imported, Results


def study_page(results: Results, rows: Sequence[Example] = ()) -> Document:
    """A study's results: what was expected, what came out with intervals, what was left out, how to repeat it; and rows
    that went wrong, where they are at hand. Where another code made them, how, in place of what was expected and how to
    repeat it."""
    if results.imported is not None:
        return _imported_page(results, results.imported)
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


def _imported_page(results: Results, imported: Imported) -> Document:
    sections = [
        gap.gap_section(results),
        origin.conventions_section(imported),
        sweep.sweep_section(results),
        origin.weak_labels_section(imported),
        gap.excluded_section(results),
        origin.told_section(imported),
        gap.seeds_section(results),
    ]
    files = sweep.sweep_files(results)
    return Document(
        results.name, (origin.opening(imported),), tuple(section for section in sections if section is not None), files
    )
