"""Which fits a study's cells are made of, for trackers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from w2s_ray.engine.context import Context
from w2s_ray.eval.score import cell_names
from w2s_ray.study.costs import Graph
from w2s_ray.study.run import CellRun


def fits_of(context: Context, runs: Sequence[CellRun], steps: Collection[str]) -> dict[str, dict[str, Any]]:
    """key -> parameters, and the names of the cell that the fit belongs to: the first one, in the study's order, whose
    score is made from it."""
    there = [one for one in context.submitted() if one.key.step in steps and one.there]
    fits: dict[str, dict[str, Any]] = {one.key.full: {"params": one.params, "cell": None} for one in there}
    graph = Graph(context)
    for run, names in zip(runs, cell_names([run.cell for run in runs]), strict=True):
        for key in fits.keys() & (graph.needed(run.score.key.full) if run.score is not None else ()):
            fits[key]["cell"] = fits[key]["cell"] or names
    return dict(sorted(fits.items()))
