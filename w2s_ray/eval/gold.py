"""The gold labels of a task, and the only access to them. Methods are given a `Task`, which has none of pool and test.

Read by the labelled half's training, the ceiling and the scorer.
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
