"""The mean label of the nearest rows (EleutherAI/w2s, w2s/probe.py: `KnnProbe`).

A row that is relabelled is one of its own neighbours, as there. Departures: in `contract.py`; and fewer rows than `k`
all vote, where theirs fails.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.blocks.cleaners.contract import Cleaner, Rows, Voters
from w2s_ray.core.labels import Floats


class Knn(Cleaner):
    """Mean label of the nearest rows."""

    type: Literal["knn"] = "knn"
    k: int = Field(50, ge=1, description="nearest rows that vote, the row itself among them; all, if there are fewer")

    def expect(self, voters: Voters, array_QD: Rows) -> Floats:
        return voters.vote(array_QD, self.k)
