"""`LabelSet`: class labels of rows, from a person, a weak model or a combiner. Joined by id or not at all.

Shapes: N rows, M teachers, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, as_ids, content_digest, positions

Floats = npt.NDArray[np.float64]

SUM_TOLERANCE = 1e-3  # float32 softmax outputs pass, anything that is not a distribution does not


@dataclass(frozen=True)
class LabelSet:
    """Class probabilities per row. `mask` is True where there is a label and False where the source abstains; `source`
    names who labelled."""

    ids: Ids
    probs_NK: Floats
    mask_N: npt.NDArray[np.bool_]
    weight_N: Floats
    source: str

    @staticmethod
    def of(
        ids: Sequence[str] | Ids,
        probs_NK: npt.ArrayLike,
        *,
        mask_N: npt.ArrayLike | None = None,
        weight_N: npt.ArrayLike | None = None,
        source: str = "",
    ) -> LabelSet:
        """Build and check. Rows that abstain hold the uniform distribution, so that no caller reads stale numbers
        there."""
        checked = as_ids(ids)
        probs = np.array(probs_NK, dtype=np.float64)
        if probs.ndim != 2 or len(probs) != len(checked) or probs.shape[1] < 2:
            raise DataError(
                f"label probabilities must be [rows, classes] with at least 2 classes; got shape {probs.shape} for"
                f" {len(checked)} ids"
            )
        mask = np.ones(len(checked), dtype=np.bool_) if mask_N is None else np.array(mask_N, dtype=np.bool_)
        weight = np.ones(len(checked)) if weight_N is None else np.array(weight_N, dtype=np.float64)
        if mask.shape != (len(checked),) or weight.shape != (len(checked),):
            raise DataError(
                f"mask and weight must have one entry a row ({len(checked)}); got {mask.shape} and {weight.shape}"
            )
        probs[~mask] = 1.0 / probs.shape[1]
        bad = ~(
            np.isfinite(probs).all(axis=1) & (probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) <= SUM_TOLERANCE)
        )
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"soft labels must be >= 0 and sum to 1; {int(bad.sum())} rows do not, the first is id"
                f" {str(checked[row])!r} with {probs[row].tolist()}"
            )
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise DataError("row weights must be finite and >= 0")
        for array in (probs, mask, weight):
            array.setflags(write=False)
        return LabelSet(checked, probs, mask, weight, source)

    @staticmethod
    def hard(ids: Sequence[str] | Ids, classes_N: npt.ArrayLike, num_classes: int, *, source: str = "") -> LabelSet:
        """One-hot labels; class -1 abstains."""
        classes = np.asarray(classes_N, dtype=np.int64)
        if classes.size and (classes.min() < -1 or classes.max() >= num_classes):
            raise DataError(
                f"labels must be in 0..{num_classes - 1} (-1 abstains), got {int(classes.min())}..{int(classes.max())}"
            )
        return LabelSet.of(ids, np.eye(num_classes)[np.maximum(classes, 0)], mask_N=classes >= 0, source=source)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        return int(self.probs_NK.shape[1])

    @property
    def hard_N(self) -> npt.NDArray[np.int64]:
        """The most probable class, -1 where the source abstains. Ties go to the lower class."""
        return np.where(self.mask_N, self.probs_NK.argmax(axis=1), -1)

    @cached_property
    def digest(self) -> str:
        """sha256 of ids, probabilities, mask and weights in the order of the ids. The source does not count."""
        order = np.argsort(self.ids, kind="stable")
        arrays = (self.probs_NK[order], self.mask_N[order].astype(np.float64), self.weight_N[order])
        return content_digest(
            [
                *map(str, self.ids[order]),
                "",
                str(self.num_classes),
                *(np.ascontiguousarray(a).tobytes().hex() for a in arrays),
            ]
        )

    def align(self, ids: Sequence[str] | Ids) -> LabelSet:
        """The labels of these ids, in this order; an id without a row is an error."""
        wanted = as_ids(ids)
        rows = positions(self.ids, wanted)
        return LabelSet.of(
            wanted, self.probs_NK[rows], mask_N=self.mask_N[rows], weight_N=self.weight_N[rows], source=self.source
        )

    @staticmethod
    def stack(sets: Sequence[LabelSet]) -> Floats:
        """probs_NMK of several teachers, aligned to the first one's ids. Rows where a teacher abstains hold NaN."""
        if not sets:
            raise DataError("nothing to stack: an ensemble needs at least one member")
        if len({s.num_classes for s in sets}) > 1:
            raise DataError(f"label sets of different numbers of classes: {sorted({s.num_classes for s in sets})}")
        aligned = [s.align(sets[0].ids) for s in sets]
        return np.stack([np.where(s.mask_N[:, None], s.probs_NK, np.nan) for s in aligned], axis=1)

    def save(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {"id": pa.array(self.ids.tolist(), pa.string())}
        columns |= {f"p{k}": self.probs_NK[:, k] for k in range(self.num_classes)}
        table = pa.table(columns | {"mask": self.mask_N, "weight": self.weight_N})
        pq.write_table(table.replace_schema_metadata({"source": self.source}), folder / "labels.parquet")

    @staticmethod
    def load(folder: Path) -> LabelSet:
        import pyarrow.parquet as pq

        table = pq.read_table(folder / "labels.parquet")
        num_classes = len(table.column_names) - 3
        probs = np.stack([table[f"p{k}"].to_numpy() for k in range(num_classes)], axis=1)
        mask = table["mask"].to_numpy(zero_copy_only=False)
        source = (table.schema.metadata or {}).get(b"source", b"").decode()
        return LabelSet.of(
            table["id"].to_pylist(), probs, mask_N=mask, weight_N=table["weight"].to_numpy(), source=source
        )
