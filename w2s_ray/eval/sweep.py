"""A ladder of models as a table: for each method and task every pair of weak and strong model that the study has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from w2s_ray.eval.gap import recovered
from w2s_ray.eval.summary import ARMS, CellScore


class Run(NamedTuple):
    """One student among its models, in the study's metric."""

    weak: str
    strong: str
    seed: int | None
    floor: float
    student: float
    ceiling: float


def sweep(cells: Sequence[CellScore], summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a (method, task), with the summary's numbers of each pair; nothing where the study has a single pair of
    models."""
    if len({(cell.weak, cell.strong) for cell in cells}) < 2:
        return []
    runs: dict[tuple[str, str], list[CellScore]] = defaultdict(list)
    for cell in cells:
        runs[cell.method, cell.task].append(cell)
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in summary:
        pairs[row["method"], row["task"]].append(pair_of(row))
    return [
        {"method": method, "task": task, **openai_median(found), "pairs": pairs[method, task]}
        for (method, task), found in runs.items()
    ]


def pair_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A summary row as an entry of the ladder."""
    counts = {"num_seeds": row["num_seeds"], "num_gap": row["num_seeds"] - len(row["excluded"])}
    return {
        "weak": row["weak"],
        "strong": row["strong"],
        **counts,
        **{arm: row[arm] and row[arm]["mean"] for arm in ARMS},
        "pgr": row["pgr"]["median"],
    }


def openai_median(cells: Sequence[CellScore]) -> dict[str, Any]:
    """The median PGR of one method and task as OpenAI's notebook aggregates it. Runs whose weak labels came without a
    model that has a floor are not in it."""
    return median_of_runs(
        [
            Run(cell.weak, cell.strong, cell.seed, cell.floor.value(), cell.student.value(), cell.ceiling.value())
            for cell in cells
            if cell.floor is not None
        ]
    )


def median_of_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """That of openai/weak-to-strong, notebooks/Plotting.ipynb.

    Every run's student is held against the means over seeds of its weak and of its strong model's gold runs; pairs of a
    model with itself and pairs whose ceiling is not above the weak model are dropped; the median is over runs. There
    each model has one accuracy, for all are trained on the same gold rows; here the weak one's is the floor and the
    strong one's the ceiling, in the study's metric. A gold run that several pairs share counts once.
    """
    floors: dict[str, dict[int | None, float]] = defaultdict(dict)
    ceilings: dict[str, dict[int | None, float]] = defaultdict(dict)
    for run in runs:
        floors[run.weak][run.seed] = run.floor
        ceilings[run.strong][run.seed] = run.ceiling
    floor, ceiling = (
        {model: float(np.mean(list(of_seed.values()))) for model, of_seed in models.items()}
        for models in (floors, ceilings)
    )
    pairs = [run for run in runs if run.weak != run.strong]
    pgrs = [recovered(floor[run.weak], run.student, ceiling[run.strong]) for run in pairs]
    valid = [pgr for pgr in pgrs if pgr is not None]
    return {"median_pgr_openai": float(np.median(valid)) if valid else None, "num_runs_openai": len(valid)}
