"""What a task of the built-in world is: a seeded stream of rows, its knobs, and how its rows are to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.seeds import stream

# raise it when any row of any seed changes, or when `prepare` asks for another number of rows: it is part of the rows'
# identity
VERSION = 2
BLOCK = 1024  # rows of one random stream: more rows never change the ones before

Row = dict[str, object]
Write = Callable[[np.random.Generator, int, Any], Iterator[Row]]  # stream, number of rows, knobs


@dataclass(frozen=True)
class WorldTask:
    """`line` is what a listing says; `knobs` holds the task's own defaults; `named` maps the format's shared columns to
    the rows'."""

    line: str
    write: Write
    knobs: Frozen
    columns: tuple[str, ...] = ("text", "label", "kind")
    format: str = "text"
    named: Mapping[str, str] = field(default_factory=lambda: {"slice": "kind"})

    def rows(self, knobs: Frozen, num: int, seed: int) -> Iterator[Row]:
        """The first `num` rows of an endless stream."""
        for first in range(0, num, BLOCK):
            rng = stream(seed, "world", self.format, VERSION, first)
            yield from islice(self.write(rng, BLOCK, knobs), num - first)
