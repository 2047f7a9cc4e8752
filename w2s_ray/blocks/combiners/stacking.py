"""A logistic regression on the members' log-probabilities, fitted on the labelled half's held-out rows (Wolpert 1992,
doi 10.1016/S0893-6080(05)80023-1).

Shapes: N rows, M members, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.combiners.contract import SURE, Combiner, Known, Votes, accuracies
from w2s_ray.core.errors import DataError
from w2s_ray.core.labels import Floats, LabelSet


class Stacking(Combiner):
    """A logistic regression on the members' log-probabilities, fitted on the labelled half's held-out rows."""

    type: Literal["stacking"] = "stacking"
    l2: float = Field(1e-2, gt=0, description="penalty on its weights, relative to the mean loss of a row")
    learns: ClassVar[bool] = True

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        from sklearn.linear_model import LogisticRegression

        accuracies(known, self.type)  # refuses when nothing is known
        assert known is not None
        rows = known.truth.ids[known.truth.mask_N]
        gold_N = known.truth.align(rows).hard_N
        panel, num_classes = Votes.of(votes), known.truth.num_classes
        if len(np.unique(gold_N)) < num_classes:
            raise DataError(
                f"combine: stacking needs held-out rows of all {num_classes} classes, they have"
                f" {sorted(set(gold_N.tolist()))}; raise task.heldout"
            )
        model = LogisticRegression(C=1.0 / (self.l2 * len(rows)), max_iter=1000)
        model.fit(_features(Votes.of([vote.align(rows) for vote in known.votes])), gold_N)
        return panel.labels(model.predict_proba(_features(panel)))


def _features(votes: Votes) -> Floats:
    """Centred log-probabilities; 0, which is the middle, where a member abstains."""
    logs_NMK = np.log(np.clip(votes.probs_NMK, SURE, 1.0))
    centred_NMK: Floats = (logs_NMK - logs_NMK.mean(axis=2, keepdims=True)) * votes.speaks_NM[:, :, None]
    return centred_NMK.reshape(len(votes.ids), -1)
