"""`cells.parquet`, which lies beside results.json: on which test rows a study was measured, and what each model said
there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.core.ids import Ids
from w2s_ray.eval.score import CELLS, cell_score
from w2s_ray.eval.summary import CellScore
from w2s_ray.reports.schema import Group, Results

NAMES = ("method", "task", "weak", "strong")


@dataclass(frozen=True)
class Predictions:
    """Of one study; all of it is empty where the file is not at hand, as for results that were imported or lie on a
    URL."""

    folder: Path
    results: Results

    def rows(self, task: str) -> dict[int, Ids]:
        """The test rows of each seed, in the order of their ids, by the first row of the table that has the task."""
        group = next((row.group for row in self.results.summary if row.task == task), None)
        table = None if group is None else self._read(group, ["seed", "id"])
        if table is None:
            return {}
        seed_N, id_N = table["seed"].to_numpy(), np.asarray(table["id"].to_pylist(), dtype=np.str_)
        return {int(seed): np.sort(id_N[seed_N == seed]) for seed in np.unique(seed_N)}

    def scores(self, group: Group, label: str) -> list[CellScore]:
        """Every seed of a row of the table, its method under a label that tells studies apart."""
        import pyarrow.compute as pc

        table = self._read(group, None)
        if table is None:
            return []
        names = dict(zip(NAMES, (label, *group[1:]), strict=True))
        return [
            cell_score({**names, "seed": seed}, table.filter(pc.equal(table["seed"], seed)), self.results.metric)
            for seed in table["seed"].unique().to_pylist()
        ]

    @cached_property
    def _path(self) -> Path | None:
        path = self.folder / CELLS
        return path if path.is_file() and self.results.imported is None else None

    def _read(self, group: Group, columns: list[str] | None) -> Any:
        """The test rows of one row of the table; None where there are none that can be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._path is None:
            return None
        chosen = [("split", "=", "test"), *((name, "=", value) for name, value in zip(NAMES, group, strict=True))]
        try:
            table = pq.read_table(self._path, columns=columns, filters=chosen)
        except (pa.ArrowException, OSError, KeyError):
            return None
        return table if len(table) else None
