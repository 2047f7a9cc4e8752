"""How good an ensemble's labels are against its number of members: the first one, two, three … of them, combined as the
method did.

The number that a study uses is never chosen by these numbers, which look at the pool's gold. Shapes: N rows, M members,
K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s_ray.blocks.combiners.contract import Combiner, Known
from w2s_ray.core.identity import RESTORING
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.metrics import score
from w2s_ray.core.plugins import build
from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import Artifact

SIZES = Step(
    "ensemble-sizes", 1, "w2s_ray.eval.sizes:run", lambda params, inputs: str(params["combine"]["type"]), inline=True
)
KEPT = ("accuracy", "log_loss", "ece", "auroc")


def run(work: Work) -> JSON:
    """One entry a number of members."""
    votes = _sets(work, "votes")
    known = Known(_sets(work, "known"), _sets(work, "truth")[0]) if "known" in work.inputs else None
    (gold,) = _sets(work, "gold")
    return {"sizes": curve(build("w2s_ray.combiners", work.params["combine"], RESTORING), votes, known, gold)}


def curve(combiner: Combiner, votes: Sequence[LabelSet], known: Known | None, gold: LabelSet) -> list[dict[str, Any]]:
    """Quality of the combined labels for each number of members, and how much those members disagree."""
    entries = []
    for members in range(1, len(votes) + 1):
        first = Known(known.votes[:members], known.truth) if known else None
        scored = score(combiner.combine(votes[:members], first), gold)
        entries.append(
            {"members": members, **{name: scored[name] for name in KEPT}, "disagreement": disagreement(votes[:members])}
        )
    return entries


def disagreement(votes: Sequence[LabelSet]) -> float | None:
    """Share of rows on which two members name different classes, over all pairs (Kuncheva & Whitaker 2003, doi
    10.1023/A:1022859003006); None for one member."""
    hard_NM = np.stack([vote.align(votes[0].ids).hard_N for vote in votes], axis=1)
    shares = []
    for one in range(len(votes)):
        both_NM = (hard_NM[:, [one]] >= 0) & (hard_NM[:, one + 1 :] >= 0)
        differ_NM = hard_NM[:, [one]] != hard_NM[:, one + 1 :]
        shares += [
            float(differ_N[both_N].mean())
            for differ_N, both_N in zip(differ_NM.T, both_NM.T, strict=True)
            if both_N.any()
        ]
    return float(np.mean(shares)) if shares else None


def _sets(work: Work, name: str) -> list[LabelSet]:
    given = work.inputs[name]
    return [LabelSet.load(one.path) for one in ((given,) if isinstance(given, Artifact) else given)]
