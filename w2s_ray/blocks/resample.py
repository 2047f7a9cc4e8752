"""Rows drawn anew for each member of an ensemble, as weights: a row drawn twice counts twice, one that was not drawn
has no weight and is left out.

Shapes: N rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import Floats, LabelSet
from w2s_ray.core.seeds import stream


def resample(labels: LabelSet, sample: Literal["bootstrap"] | float, seed: int, member: int) -> LabelSet:
    """With replacement as many as there are (Breiman 1996, doi 10.1007/BF00058655), or a share without (Sang et al.
    2024, arXiv 2402.00667).

    What is drawn depends on ids, seed and member, not on the order of the rows.
    """
    ordered = labels.align(np.sort(labels.ids))
    rng = stream(seed, "rows", member)
    count = len(ordered)
    if sample == "bootstrap":
        drawn_N = rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64)
    else:
        drawn_N = np.zeros(count)
        drawn_N[rng.permutation(count)[: max(1, round(sample * count))]] = 1.0
    return reweighted(ordered, ordered.weight_N * drawn_N)


def reweighted(labels: LabelSet, weight_N: Floats) -> LabelSet:
    """The same labels with other weights."""
    if not (weight_N[labels.mask_N] > 0).any():
        raise DataError(f"none of the {len(labels)} rows has a weight above 0; draw more rows")
    return LabelSet.of(labels.ids, labels.probs_NK, mask_N=labels.mask_N, weight_N=weight_N, source=labels.source)
