"""How much members differ.

Shapes: N rows, M members.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2s_ray.core.labels import LabelSet


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
