"""Of each class, the rows that hang together among their neighbours (Wu et al. 2020, arXiv 2012.04835; EleutherAI/w2s,
w2s/topo.py).

The paper filters again and again while a network learns, in its changing features; EleutherAI, and we, do it once on
frozen ones: the largest strongly connected component of each class, then one step that drops rows which disagree with
their neighbours in it (zeta). Departures from EleutherAI's code, besides those in `contract.py`: edges end at rows of
the same class too (theirs only start at them, which gives the same components of two rows and more; but where no two
rows of a class hang together, theirs keeps the first row of any class); a class without rows keeps none; of equally
large components, the one with the lowest id; fewer rows than `k_cc` or `k_zeta` are all neighbours, where theirs fails.

Shapes: N rows, Q rows that are asked for, k neighbours, K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from w2s_ray.blocks.cleaners.contract import Bools, Cleaner, Rows, Voters, most, surplus, total_variation, without
from w2s_ray.blocks.neighbours import Indices, nearest, neighbour_mean
from w2s_ray.core.features import Features
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats, LabelSet


class TopoFilter(Cleaner):
    """Mean label of the nearest rows, of those in the largest component of their class."""

    type: Literal["topofilter"] = "topofilter"
    k_cc: int = Field(
        50,
        ge=1,
        description=(
            "nearest rows, itself not among them, that a row is tied to if they are of its class; all, if there are"
            " fewer"
        ),
    )
    k_zeta: int = Field(
        50,
        ge=1,
        description="nearest surviving rows whose mean label a row is compared with or gets; all, if there are fewer",
    )

    def expect(self, voters: Voters, array_QD: Rows) -> Floats:
        """Mean label of the nearest survivors, which a survivor itself is one of (topo.py: `topolabel`)."""
        return voters.only(self.survivors(voters)).vote(array_QD, self.k_zeta)

    def keep(self, features: Features, labels: LabelSet, contamination: float = 0.1) -> Ids:
        """The graph drops what it must, which may be more than the contamination, also than one of 0; the survivors
        farthest from their neighbours make up what is missing to it (topo.py: `topofilter`)."""
        voters = Voters.of(features, labels)
        survives_N = self.survivors(voters)
        inner = voters.only(survives_N)
        own = int(survives_N[: voters.num_own].sum())
        missing = surplus(contamination, voters.num_own) - (voters.num_own - own)
        dropped = voters.ids[: voters.num_own][~survives_N[: voters.num_own]]
        if missing > 0:
            indices_Nk, _ = nearest(inner.array_ND, None, min(self.k_zeta, len(inner) - 1), itself=False)
            doubt_N = total_variation(neighbour_mean(indices_Nk, inner.probs_NK, inner.weight_N), inner.probs_NK)
            dropped = np.concatenate([dropped, inner.ids[:own][most(doubt_N[:own], missing)]])
        return without(labels, dropped)

    def survivors(self, voters: Voters) -> Bools:
        """Who is in the largest component of its class (topo.py: `topo_cc`)."""
        if len(voters) == 1:
            return np.ones(1, dtype=np.bool_)
        indices_Nk, _ = nearest(voters.array_ND, None, min(self.k_cc, len(voters) - 1), itself=False)
        kept_N = largest_components(indices_Nk, voters.class_N)
        if (
            voters.turned
        ):  # a row and its opposite stay or go together: ties between equal distances need not fall alike
            half = voters.num_own
            kept_N = np.tile(kept_N[:half] & kept_N[half:], 2)
            kept_N |= not kept_N.any()
        return kept_N


def largest_components(indices_Nk: Indices, class_N: npt.NDArray[np.int64]) -> Bools:
    """Rows in the largest strongly connected component of their class, edges going from each row to those of its
    neighbours that are of its class."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    rows, k = indices_Nk.shape
    start, end = np.repeat(np.arange(rows), k), indices_Nk.ravel()
    same = class_N[start] == class_N[end]
    graph = csr_array((np.ones(int(same.sum()), dtype=np.int8), (start[same], end[same])), shape=(rows, rows))
    _, component_N = connected_components(graph, directed=True, connection="strong")
    size_N = np.bincount(component_N)[component_N]
    kept_N = np.zeros(rows, dtype=np.bool_)
    for named in np.unique(class_N):
        of_class = np.flatnonzero(class_N == named)
        kept_N |= component_N == component_N[of_class[size_N[of_class].argmax()]]
    return kept_N
