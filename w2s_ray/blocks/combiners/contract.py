"""What a combiner is, and the arithmetic that all combiners share.

Shapes: N rows, M members, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import SerializeAsAny

from w2s_ray.core.errors import DataError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats, LabelSet
from w2s_ray.core.plugins import plugin

Bools = npt.NDArray[np.bool_]

SURE = 1e-6  # a probability of 0 or 1 would be a vote that no other can outweigh


@dataclass(frozen=True)
class Known:
    """Rows whose truth a combiner may learn from: held-out ones of the labelled half, with what each member says of
    them."""

    votes: Sequence[LabelSet]
    truth: LabelSet


class Combiner(Frozen):
    """Members' votes in, one label a row out; a row on which all abstain stays without a label.

    The order of the rows decides nothing, and the order of the members nothing but the last digits. `learns` says that
    it needs `known`.
    """

    learns: ClassVar[bool] = False

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        raise NotImplementedError


Combine = Annotated[SerializeAsAny[Combiner], plugin("w2s_ray.combiners")]


@dataclass(frozen=True)
class Votes:
    """Members' probabilities on the rows of the first; 0 where one abstains."""

    ids: Ids
    probs_NMK: Floats
    speaks_NM: Bools

    @staticmethod
    def of(votes: Sequence[LabelSet]) -> Votes:
        for vote in votes[1:]:
            if len(vote) != len(votes[0]):
                raise DataError(
                    f"members label {len(votes[0])} and {len(vote)} rows; they must label the same ones, and abstain"
                    " where they have nothing to say"
                )
        stacked_NMK = LabelSet.stack(votes)
        speaks_NM = np.asarray(~np.isnan(stacked_NMK).any(axis=2), dtype=np.bool_)
        return Votes(votes[0].ids, np.where(speaks_NM[:, :, None], stacked_NMK, 0.0), speaks_NM)

    @property
    def num_classes(self) -> int:
        return int(self.probs_NMK.shape[2])

    @property
    def hard_NMK(self) -> Floats:
        """One-hot; of the lower class where a member's probabilities are equal."""
        hard_NMK: Floats = np.eye(self.num_classes)[self.probs_NMK.argmax(axis=2)] * self.speaks_NM[:, :, None]
        return hard_NMK

    def average(self, values_NMK: Floats, weights_NM: Floats | None = None) -> LabelSet:
        """Weighted mean over the members that speak; where their weights are all 0, the plain mean."""
        speaks_NM = self.speaks_NM.astype(np.float64)
        weighed_NM = speaks_NM if weights_NM is None else weights_NM * speaks_NM
        weighed_NM = np.where(weighed_NM.sum(axis=1, keepdims=True) > 0, weighed_NM, speaks_NM)
        return self.labels((values_NMK * weighed_NM[:, :, None]).sum(axis=1))

    def labels(self, scores_NK: Floats) -> LabelSet:
        """Scores above 0 as probabilities, of the rows on which somebody speaks."""
        labelled_N = self.speaks_NM.any(axis=1)
        total_N1 = scores_NK.sum(axis=1, keepdims=True)
        probs_NK = np.divide(
            scores_NK, total_N1, out=np.full_like(scores_NK, 1.0 / self.num_classes), where=total_N1 > 0
        )
        return LabelSet.of(self.ids, probs_NK, mask_N=labelled_N)


def accuracies(known: Known | None, name: str) -> Floats:
    """Each member's share of right answers among the known rows that it answers, one right and one wrong answer added
    (Laplace), so that none is 0 or 1."""
    if known is None:
        raise DataError(
            f"combine: {name} learns from the labelled half's held-out rows, and there are none; set task.heldout, or"
            " use mean, majority or dawid_skene"
        )
    truth = known.truth
    rows = truth.ids[truth.mask_N]
    gold_N = truth.align(rows).hard_N
    found = []
    for vote in known.votes:
        labelled_N = vote.align(rows).hard_N
        found.append(((labelled_N == gold_N).sum() + 1.0) / ((labelled_N >= 0).sum() + 2.0))
    return np.array(found)
