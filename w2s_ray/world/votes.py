"""Rows of `topic` with the votes of ten labelling functions: a weak-supervision label matrix of which everything is
known.

Shapes: N rows, M functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from w2s_ray.world import classification
from w2s_ray.world.lexicon import Ints
from w2s_ray.world.rows import Writing
from w2s_ray.world.task import Row, WorldTask

ABSTAIN = -1


@dataclass(frozen=True)
class LabellingFunction:
    """`accuracy` of the votes that it casts, `coverage` the share of rows on which it does; one that `copies` another
    says the same with probability `loyalty`."""

    accuracy: float
    coverage: float
    copies: int | None = None
    loyalty: float = 0.9


FUNCTIONS = (
    LabellingFunction(0.90, 0.30),
    LabellingFunction(0.85, 0.50),
    LabellingFunction(0.80, 0.60),
    LabellingFunction(0.75, 0.80),
    LabellingFunction(0.70, 0.90),
    LabellingFunction(0.65, 1.00),
    LabellingFunction(0.60, 0.70),
    LabellingFunction(0.55, 0.90),
    LabellingFunction(0.80, 0.60, copies=2),
    LabellingFunction(0.70, 0.90, copies=4),
)


def cast_votes(
    rng: np.random.Generator, classes_N: Ints, num_classes: int, functions: tuple[LabellingFunction, ...] = FUNCTIONS
) -> Ints:
    """votes_NM: a class, or ABSTAIN. A wrong vote is any wrong class. A copy has the accuracy and coverage of what it
    copies."""
    votes: list[Ints] = []
    for function in functions:
        N = len(classes_N)
        wrong_N = (classes_N + rng.integers(1, num_classes, size=N)) % num_classes
        own_N = np.where(rng.random(N) < function.accuracy, classes_N, wrong_N)
        own_N = np.where(rng.random(N) < function.coverage, own_N, ABSTAIN)
        votes.append(
            own_N
            if function.copies is None
            else np.where(rng.random(N) < function.loyalty, votes[function.copies], own_N)
        )
    return np.stack(votes, axis=1)


def write(rng: np.random.Generator, num: int, how: Writing) -> Iterator[Row]:
    rows = list(classification.write(rng, num, how))
    classes_N = np.array([row["label"] for row in rows])
    for row, votes in zip(rows, cast_votes(rng, classes_N, how.classes).tolist(), strict=True):
        yield row | {"votes": votes}


TASKS = {
    "votes": WorldTask(
        "the rows of `topic` with the votes of ten labelling functions of known accuracy",
        write,
        Writing(),
        ("text", "label", "kind", "votes"),
    )
}
