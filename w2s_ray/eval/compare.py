"""Methods against a baseline, paired: the same task, models, seeds and test rows for both, so that what these have in
common drops out.

Intervals are those of `intervals`, of the difference of two arms: a replicate's drawn seeds and rows are one draw for
both. A row over several tasks and pairs of models also draws tasks, each drawn one with seeds and rows of its own;
within a task all pairs of models meet the same drawn seeds and rows, for they share teachers, ceilings and test rows.
Every task counts the same, and within a task every cell. Measured on synthetic studies of 150 rows and 3 seeds where
tasks differ most, the nominal 95 % are 71 %, 83 %, 89 % and 95 % for 2, 3, 5 and 10 tasks.

The p-values flip the signs of the seeds' differences (of an overall row: of each seed's part in the mean, for the cells
of a seed share models). They speak of other training seeds on these tasks and test rows.

All differences are in the study's metric, that of the cells' measures. Shapes: R replicates, S seeds, P pairs of
models, T drawn tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from w2s_ray.config.baseline import Pairing
from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats
from w2s_ray.core.seeds import derive_seed, stream
from w2s_ray.eval.gap import MIN_ERRORS, measure_gap
from w2s_ray.eval.intervals import REPLICATES, Arms, Interval, mean_interval, resample
from w2s_ray.eval.measure import Measure
from w2s_ray.eval.significance import holm, sign_flip
from w2s_ray.eval.summary import CellScore


@dataclass(frozen=True, eq=False)
class Match:
    """One seed's cell and the baseline's, on the same test rows in the same order."""

    cell: CellScore
    ids: Ids
    method: Measure
    baseline: Measure
    pgr_difference: float | None  # None unless both have a gap

    @cached_property
    def difference(self) -> float:
        """By how much the method is ahead; exactly 0.0 in a tie."""
        return self.method.minus(self.baseline)


def compare(
    cells: Sequence[CellScore],
    pairings: Sequence[Pairing],
    *,
    min_errors: float = MIN_ERRORS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any] | None:
    """`pairs`: a row a pairing. `overall`: a row a method that has several. `skipped`: pairings without a common seed.
    None without pairings."""
    if not pairings:
        return None
    scored: dict[tuple[str, ...], dict[int, CellScore]] = defaultdict(dict)
    for cell in cells:
        scored[cell.group][cell.seed] = cell
    pairs, skipped = [], []
    pooled: dict[tuple[str, str], list[list[Match]]] = defaultdict(list)
    for pairing in pairings:
        setting = (pairing.task, pairing.weak, pairing.strong)
        names = {"method": pairing.method, **dict(zip(("task", "weak", "strong"), setting, strict=True))}
        if pairing.baseline is None:
            skipped.append(names | {"reason": pairing.reason})
            continue
        matches, left_out = _match(
            pairing, scored[pairing.method, *setting], scored[pairing.baseline, *setting], min_errors
        )
        if not matches:
            skipped.append(names | {"reason": f"No seed is scored for both {pairing.method} and {pairing.baseline}."})
            continue
        pairs.append({**names, "baseline": pairing.baseline, **_entry(matches, replicates, seed), "left_out": left_out})
        pooled[pairing.method, pairing.baseline].append(matches)
    overall = [_overall(*names, groups, replicates, seed) for names, groups in pooled.items() if len(groups) > 1]
    tested = [*pairs, *overall]
    for entry, adjusted in zip(tested, holm([entry["p"] for entry in tested]), strict=True):
        entry["p_holm"] = adjusted
    return {"num_tests": len(tested), "pairs": pairs, "overall": overall, "skipped": skipped}


def _match(
    pairing: Pairing, method: Mapping[int, CellScore], baseline: Mapping[int, CellScore], min_errors: float
) -> tuple[list[Match], list[dict[str, Any]]]:
    """The seeds that both have, and those that count for neither, with the reason."""
    matches, left_out = [], []
    for seed in sorted(method.keys() | baseline.keys()):
        if seed not in method or seed not in baseline:
            left_out.append(
                {
                    "seed": seed,
                    "reason": f"{pairing.baseline if seed in method else pairing.method} has no score for it.",
                }
            )
            continue
        match = _matched(method[seed], baseline[seed], min_errors)
        if match is None:
            left_out.append({"seed": seed, "reason": "The two were scored on different test rows."})
        else:
            matches.append(match)
    return matches, left_out


def _matched(cell: CellScore, baseline: CellScore, min_errors: float) -> Match | None:
    order, baseline_order = np.argsort(cell.ids, kind="stable"), np.argsort(baseline.ids, kind="stable")
    ids = cell.ids[order]
    if not np.array_equal(ids, baseline.ids[baseline_order]):
        return None
    one, other = (measure_gap(*c.arms, min_errors=min_errors).pgr for c in (cell, baseline))
    pgr_difference = None if one is None or other is None else one - other
    return Match(cell, ids, cell.student.ordered(order), baseline.student.ordered(baseline_order), pgr_difference)


def _overall(method: str, baseline: str, groups: list[list[Match]], replicates: int, seed: int) -> dict[str, Any]:
    matches = [match for group in groups for match in group]
    counts = {
        "num_tasks": len({match.cell.task for match in matches}),
        "num_groups": len(groups),
        "num_cells": len(matches),
    }
    return {"method": method, "baseline": baseline, **counts, **_entry(matches, replicates, seed)}


def _entry(matches: list[Match], replicates: int, seed: int) -> dict[str, Any]:
    """The numbers of one comparison; of a single pairing the cells are its seeds."""
    tasks: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        tasks[match.cell.task].append(match)
    part_of: dict[int, float] = defaultdict(float)  # seed -> its part in the mean
    for match in matches:
        part_of[match.cell.seed] += match.difference / (len(tasks) * len(tasks[match.cell.task]))
    low, high = _interval(tasks, replicates, seed)
    mean = float(np.mean([np.mean([match.difference for match in task]) for task in tasks.values()]))
    leads = [match.difference for match in matches]
    pgrs = [match.pgr_difference for match in matches if match.pgr_difference is not None]
    return {
        "num_seeds": len(part_of),
        "difference": {"mean": mean, "low": low, "high": high},
        "wins": sum(lead > 0 for lead in leads),
        "losses": sum(lead < 0 for lead in leads),
        "ties": sum(lead == 0 for lead in leads),
        "p": sign_flip(np.array([part_of[s] for s in sorted(part_of)])),
        "pgr_difference": {"median": float(np.median(pgrs)) if pgrs else None, "num_cells": len(pgrs)},
    }


def _interval(tasks: Mapping[str, list[Match]], replicates: int, seed: int) -> Interval:
    """Of the mean over tasks: drawn tasks, each with drawn seeds and rows."""
    names = sorted(tasks)
    if len(names) == 1:
        return mean_interval(_drawn_means(tasks[names[0]], replicates, seed)[:, None])
    picks_RT = stream(seed, "bootstrap", "tasks").integers(len(names), size=(replicates, len(names)))
    means_RT = np.empty(picks_RT.shape)
    for which, name in enumerate(names):
        drawn_RT = picks_RT == which
        means_RT[drawn_RT] = _drawn_means(tasks[name], int(drawn_RT.sum()), derive_seed(seed, "task", name))
    return mean_interval(means_RT)


def _drawn_means(matches: Sequence[Match], replicates: int, seed: int) -> Floats:
    """mean_R of one task's differences, over drawn seeds on drawn rows. Some seeds may lack some pairs of models."""
    pairs = sorted({(match.cell.weak, match.cell.strong) for match in matches})
    of_seed: dict[int, dict[tuple[str, str], Match]] = defaultdict(dict)
    for match in matches:
        of_seed[match.cell.seed][match.cell.weak, match.cell.strong] = match
    ids: list[Ids] = []
    arms: list[Arms] = []
    for number in sorted(of_seed):
        found = of_seed[number]
        rows = next(iter(found.values())).ids
        if not all(np.array_equal(rows, match.ids) for match in found.values()):
            raise DataError(
                f"seed {number} of {matches[0].cell.method} on {matches[0].cell.task} has different test rows for"
                " different models"
            )
        ids.append(rows)
        arms.append(
            [
                *(found[pair].method if pair in found else None for pair in pairs),
                *(found[pair].baseline if pair in found else None for pair in pairs),
            ]
        )
    method_RSP, baseline_RSP = np.split(resample(ids, arms, replicates=replicates, seed=seed), 2, axis=2)
    difference_RSP = method_RSP - baseline_RSP
    number_R = (~np.isnan(difference_RSP)).sum(axis=(1, 2))
    mean_R: Floats = np.divide(
        np.nansum(difference_RSP, axis=(1, 2)), number_R, out=np.full(len(number_R), np.nan), where=number_R > 0
    )
    return mean_R
