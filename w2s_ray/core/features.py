"""`Features`: one vector a row, from one layer of one model; memory-mapped when read.

Shapes: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, as_ids, positions

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Float32 vectors with ids. `model` is the key of the step that made them. `signed`: each vector is the second
    text's minus the first one's, so that its negative stands for the opposite class."""

    ids: Ids
    array_ND: Array
    model: str
    layer: int | str  # "middle" where it was asked for by that name
    signed: bool = False

    @staticmethod
    def of(
        ids: Sequence[str] | Ids,
        array_ND: npt.NDArray[np.floating],
        *,
        model: str = "",
        layer: int | str = -1,
        signed: bool = False,
    ) -> Features:
        checked = as_ids(ids)
        if array_ND.ndim != 2 or len(array_ND) != len(checked):
            raise DataError(f"features must be [rows, features]; got shape {array_ND.shape} for {len(checked)} ids")
        return Features(checked, np.asarray(array_ND, dtype=np.float32), model, layer, signed)

    def __len__(self) -> int:
        return len(self.ids)

    def align(self, ids: Sequence[str] | Ids) -> Features:
        """The vectors of these ids, in this order; an id without a row is an error."""
        wanted = as_ids(ids)
        return Features.of(
            wanted, self.array_ND[positions(self.ids, wanted)], model=self.model, layer=self.layer, signed=self.signed
        )

    def save(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        np.save(folder / "features.npy", self.array_ND)
        table = pa.table({"id": pa.array(self.ids.tolist(), pa.string())})
        pq.write_table(
            table.replace_schema_metadata(
                {"model": self.model, "layer": str(self.layer), "signed": str(int(self.signed))}
            ),
            folder / "ids.parquet",
        )

    @staticmethod
    def load(folder: Path) -> Features:
        import pyarrow.parquet as pq

        table = pq.read_table(folder / "ids.parquet")
        meta = table.schema.metadata or {}
        array = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        layer = meta.get(b"layer", b"-1").decode()
        signed = meta.get(b"signed") == b"1"
        place = int(layer) if layer.lstrip("-").isdecimal() else layer
        return Features.of(
            table["id"].to_pylist(), array, model=meta.get(b"model", b"").decode(), layer=place, signed=signed
        )
