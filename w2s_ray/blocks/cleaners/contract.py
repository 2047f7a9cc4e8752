"""What a cleaner is: a simple model of the labels on frozen features, whose word replaces a label or casts doubt on it.

After EleutherAI/w2s, w2s/probe.py (`Probe.predict`, `Probe.filter`) and w2s/sft.py (`--probe_relabel`,
`--probe_filter`). Departures from their code: rows are joined and ties are broken by id; K classes instead of P(1),
with total variation in place of |p - y|, which it is for two classes; the number of rows to leave out is
round(contamination N) everywhere (theirs is int(…) in probe.py and round(…) in topo.py); rows may abstain and have
weights.

Shapes: N rows, Q rows that are asked for, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import SerializeAsAny

from w2s_ray.blocks.neighbours import Indices, nearest, neighbour_mean
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.ids import Ids, positions
from w2s_ray.core.labels import Floats, LabelSet
from w2s_ray.core.plugins import plugin

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Voters:
    """The rows that have a label and a weight, in the order of their ids, so that the order in which they came decides
    nothing.

    Where features are signed (a preference's), each row votes once more the other way round, after all: else which of
    two texts was drawn first would decide.
    """

    ids: Ids
    array_ND: Rows
    probs_NK: Floats
    weight_N: Floats
    turned: bool = False  # the second half are the first half's opposites

    @staticmethod
    def of(features: Features, labels: LabelSet) -> Voters:
        ids = np.sort(labels.ids[labels.mask_N & (labels.weight_N > 0)])
        if not len(ids):
            raise DataError(
                f"none of the {len(labels)} rows has a label with a weight above 0; there is nothing to clean by"
            )
        given, array_ND = labels.align(ids), features.align(ids).array_ND
        if not features.signed:
            return Voters(ids, array_ND, given.probs_NK, given.weight_N)
        both = np.concatenate([given.probs_NK, given.probs_NK[:, ::-1]])
        return Voters(
            np.concatenate([ids, ids]),
            np.concatenate([array_ND, -array_ND]),
            both,
            np.concatenate([given.weight_N, given.weight_N]),
            turned=True,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_own(self) -> int:
        """Rows, each counted once."""
        return len(self) // 2 if self.turned else len(self)

    @property
    def class_N(self) -> npt.NDArray[np.int64]:
        """The most probable class, the lower of equal ones: with two classes, whether P(1) > .5."""
        class_N: npt.NDArray[np.int64] = self.probs_NK.argmax(axis=1)
        return class_N

    def only(self, kept_N: Bools) -> Voters:
        return Voters(self.ids[kept_N], self.array_ND[kept_N], self.probs_NK[kept_N], self.weight_N[kept_N])

    def vote(self, array_QD: Rows, k: int) -> Floats:
        """Mean label of the k nearest voters, or of all where there are fewer; each counts by its weight."""
        indices_Qk, _ = nearest(self.array_ND, array_QD, min(k, len(self)))
        return neighbour_mean(indices_Qk, self.probs_NK, self.weight_N)


class Cleaner(Frozen):
    """Labels and features in, better labels or fewer rows out. `expect` is what each cleaner brings; rows that abstain
    or have no weight stay as they are."""

    def expect(self, voters: Voters, array_QD: Rows) -> Floats:
        """The label that the voters lead one to expect at these features."""
        raise NotImplementedError

    def predict(self, features: Features, labels: LabelSet, asked: Features) -> LabelSet:
        """What is expected of other rows, of which no label is needed."""
        return LabelSet.of(asked.ids, self.expect(Voters.of(features, labels), asked.array_ND))

    def relabel(self, features: Features, labels: LabelSet) -> LabelSet:
        """Each label replaced by the expected one."""
        voters = Voters.of(features, labels)
        own = slice(voters.num_own)
        probs_NK = labels.probs_NK.copy()
        probs_NK[positions(labels.ids, voters.ids[own])] = self.expect(voters, voters.array_ND[own])
        return LabelSet.of(labels.ids, probs_NK, mask_N=labels.mask_N, weight_N=labels.weight_N)

    def keep(self, features: Features, labels: LabelSet, contamination: float = 0.1) -> Ids:
        """The ids without the share of the rows whose labels are farthest from the expected ones."""
        voters = Voters.of(features, labels)
        own = slice(voters.num_own)
        doubt_N = total_variation(self.expect(voters, voters.array_ND[own]), voters.probs_NK[own])
        return without(labels, voters.ids[own][most(doubt_N, surplus(contamination, voters.num_own))])


Clean = Annotated[SerializeAsAny[Cleaner], plugin("w2s_ray.cleaners")]


def total_variation(probs_NK: Floats, other_NK: Floats) -> Floats:
    """1/2 sum_k |p_k - q_k|: the largest difference in the probability of any event. |p - q| for two classes."""
    distance_N: Floats = 0.5 * np.abs(probs_NK - other_NK).sum(axis=1)
    return distance_N


def surplus(contamination: float, count: int) -> int:
    """How many of so many rows are to go. One always stays."""
    if not 0 <= contamination < 1:
        raise ConfigError(f"contamination is the share of rows to leave out, from 0 to below 1; got {contamination}")
    return min(round(contamination * count), count - 1)


def most(doubt_N: Floats, count: int) -> Indices:
    """Where the largest are; of equal ones, the first. Rounded, so that sums that are equal but for their last digits
    are equal."""
    return np.argsort(-np.round(doubt_N, 12), kind="stable")[:count]


def without(labels: LabelSet, dropped: Ids) -> Ids:
    """The ids of labels but for some, in their order."""
    return labels.ids[~np.isin(labels.ids, dropped)]
