"""`Dataset`: rows with ids, inputs, and nothing else. There is no gold column, so no method can read one (see `eval/gold.py`).

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, as_ids, content_digest, positions

Kind = Literal["text", "pair", "preference"]

# The input columns of each kind. A `pair` is read as one sequence of two segments; a `preference` asks which of two texts is better.
COLUMNS: dict[Kind, tuple[str, ...]] = {"text": ("text",), "pair": ("first", "second"), "preference": ("first", "second")}

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Dataset:
    """Rows of one split. Order carries no meaning: two datasets with the same rows have the same digest."""

    name: str
    split: str
    kind: Kind
    classes: tuple[str, ...]
    ids: Ids
    inputs: Mapping[str, Texts]

    @staticmethod
    def of(name: str, split: str, kind: Kind, classes: Sequence[str], ids: Sequence[str] | Ids, **inputs: Sequence[str] | Texts) -> Dataset:
        """Build and check: the columns of the kind, one text a row, unique ids, at least two classes."""
        if set(inputs) != set(COLUMNS[kind]):
            raise DataError(f"a {kind} dataset has the columns {', '.join(COLUMNS[kind])}; got {', '.join(sorted(inputs))}")
        if len(classes) < 2:
            raise DataError(f"a dataset needs at least two classes, got {list(classes)}")
        checked = as_ids(ids)
        columns = {column: np.asarray(texts, dtype=object) for column, texts in inputs.items()}
        for column, texts in columns.items():
            if len(texts) != len(checked):
                raise DataError(f"column {column!r} has {len(texts)} rows for {len(checked)} ids")
            texts.setflags(write=False)
        return Dataset(name, split, kind, tuple(classes), checked, columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def digest(self) -> str:
        """sha256 of the rows in the order of their ids, of the kind and of the classes. The name and the split do not count."""
        order = np.argsort(self.ids, kind="stable")
        columns = [self.inputs[column] for column in COLUMNS[self.kind]]
        rows = (str(part) for i in order for part in (self.ids[i], *(column[i] for column in columns)))
        return content_digest([self.kind, *self.classes, "", *rows])

    def select(self, ids: Sequence[str] | Ids, split: str | None = None) -> Dataset:
        """The rows of these ids, in this order."""
        wanted = as_ids(ids)
        rows = positions(self.ids, wanted)
        inputs = {column: texts[rows] for column, texts in self.inputs.items()}
        return Dataset.of(self.name, split or self.split, self.kind, self.classes, wanted, **inputs)

    def save(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        meta = {"name": self.name, "split": self.split, "kind": self.kind, "classes": "\x1f".join(self.classes)}
        table = pa.table({"id": pa.array(self.ids.tolist(), pa.string()), **{c: pa.array(t.tolist(), pa.string()) for c, t in self.inputs.items()}})
        pq.write_table(table.replace_schema_metadata(meta), folder / "rows.parquet")

    @staticmethod
    def load(folder: Path) -> Dataset:
        import pyarrow.parquet as pq

        table = pq.read_table(folder / "rows.parquet")
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        kind = cast(Kind, meta["kind"])  # written by `save` alone
        inputs = {c: table[c].to_numpy(zero_copy_only=False) for c in COLUMNS[kind]}
        return Dataset.of(meta["name"], meta["split"], kind, tuple(meta["classes"].split("\x1f")), table["id"].to_pylist(), **inputs)
