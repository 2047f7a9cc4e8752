"""The gold labels of a task: the only way to them. Methods are given a `Task`, which has none of pool and test.

Who reads them: the labelled half's training, the ceiling, the scorer.
"""

from __future__ import annotations

from dataclasses import dataclass

from w2s_ray.engine.handle import Handle


@dataclass(frozen=True)
class Gold:
    """Gold labels by split; `slices` is the artifact that knows the kinds of rows."""

    labelled: Handle
    pool: Handle
    test: Handle
    slices: Handle
    heldout: Handle | None = None
