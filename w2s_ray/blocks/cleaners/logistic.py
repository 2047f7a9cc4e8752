"""A logistic regression of the soft labels on the features (EleutherAI/w2s, w2s/probe.py: `LogisticProbe`,
w2s/logistic.py: `Classifier.fit`).

Theirs minimises mean CE + l2 |W|^2 over the features as they are, the bias free; our solver's penalty is l2/2 |W|^2, so
it is given twice theirs. Departures: in `contract.py`; solved to the minimum, where torch's L-BFGS may stop before;
softmax for more than two classes, where theirs has two alone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.blocks import linear
from w2s_ray.blocks.cleaners.contract import Cleaner, Rows, Voters
from w2s_ray.core.labels import Floats


class Logistic(Cleaner):
    """Logistic regression of the soft labels on the features."""

    type: Literal["logistic"] = "logistic"
    l2: float = Field(
        1e-3,
        gt=0,
        description="l2 |W|^2 beside the mean loss of a row; 1e-3 in their code, 1e-2 was best in their report",
    )
    standardise: bool = Field(
        False, description="features of mean 0 and deviation 1; theirs are as the model makes them"
    )

    def expect(self, voters: Voters, array_QD: Rows) -> Floats:
        return linear.logistic(
            voters.array_ND, voters.probs_NK, 2 * self.l2, voters.weight_N, standardise=self.standardise
        ).predict(array_QD)
