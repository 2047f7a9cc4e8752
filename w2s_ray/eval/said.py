"""What the arms of a group of cells said: how often each class, how surely, and whether it was ever anything else.

Shapes: N rows, K classes, B bins of confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.core.labels import Floats
from w2s_ray.core.metrics import reliability
from w2s_ray.eval.summary import Group

NUM_BINS = 10  # fewer than of a number that is computed from them, so that a picture has rows in each


@dataclass(frozen=True, eq=False)
class Said:
    """Of one arm of one cell: class (-1 where it abstains) or text of each row, and probabilities where there are any.
    `gold` is known of the same rows."""

    said_N: npt.NDArray[Any]
    gold_N: npt.NDArray[Any]
    probs_NK: Floats | None = None


@dataclass
class _Arm:
    """Over the seeds of a group."""

    cells: int = 0
    share_K: Floats | None = None
    bins_3B: Floats | None = None
    constant: list[int] = field(default_factory=list)  # seeds

    def add(self, seed: int, said: Said) -> None:
        self.cells += 1
        if len(said.said_N) > 1 and bool((said.said_N == said.said_N[0]).all()):
            self.constant.append(seed)
        if said.probs_NK is None or not len(said.said_N):
            return
        num_classes = said.probs_NK.shape[1]
        answered_N = said.said_N[said.said_N >= 0]
        counts_K = np.bincount(answered_N, minlength=num_classes)[:num_classes] / max(len(answered_N), 1)
        bins_3B = np.stack(reliability(said.probs_NK, said.gold_N, NUM_BINS))
        self.share_K = counts_K if self.share_K is None else self.share_K + counts_K
        self.bins_3B = bins_3B if self.bins_3B is None else self.bins_3B + bins_3B

    def as_json(self) -> dict[str, Any]:
        shares = None if self.share_K is None else [round(float(share), 6) for share in self.share_K / self.cells]
        return {"shares": shares, "constant": self.constant, "bins": self._bins()}

    def _bins(self) -> list[dict[str, float]]:
        """Those that have rows."""
        if self.bins_3B is None:
            return []
        return [
            {"rows": int(rows), "confidence": round(sure / rows, 6), "right": round(right / rows, 6)}
            for rows, sure, right in self.bins_3B.T.tolist()
            if rows
        ]


def what_they_said(cells: Sequence[tuple[Group, int, Mapping[str, Said]]]) -> list[dict[str, Any]]:
    """One entry a group, with its arms."""
    groups: dict[Group, dict[str, _Arm]] = {}
    for group, seed, arms in cells:
        for arm, said in arms.items():
            groups.setdefault(group, {}).setdefault(arm, _Arm()).add(seed, said)
    return [
        {
            **dict(zip(("method", "task", "weak", "strong"), group, strict=True)),
            "arms": {name: arm.as_json() for name, arm in arms.items()},
        }
        for group, arms in groups.items()
    ]
