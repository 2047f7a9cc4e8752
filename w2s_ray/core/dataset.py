"""`Dataset`: rows with ids, inputs, where they come from, and nothing else. There is no gold column, so no method can
read one (see `eval/gold.py`).

Shapes: N rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, as_ids, content_digest, positions
from w2s_ray.core.kinds import Kind, KindName, Texts, kind_of

PLAIN = "{text}"  # the prompt that adds nothing


@dataclass(frozen=True)
class Dataset:
    """Rows of one split. Order carries no meaning: two datasets with the same rows have the same digest.

    `sources` tells of each row which data source or domain it comes from, for methods that select or weigh sources;
    None where the data do not say.
    """

    name: str
    split: str
    kind: Kind
    classes: tuple[str, ...]
    ids: Ids
    inputs: Mapping[str, Texts]
    sources: Texts | None = None

    @staticmethod
    def of(
        name: str,
        split: str,
        kind: Kind | KindName,
        classes: Sequence[str],
        ids: Sequence[str] | Ids,
        *,
        sources: Sequence[str] | Texts | None = None,
        **inputs: Sequence[str] | Texts,
    ) -> Dataset:
        """Build and check: the columns of the kind, one text a row, unique ids, at least two classes (of a generation
        none); a source for every row or for none."""
        kind = kind if isinstance(kind, Kind) else kind_of(kind)
        if set(inputs) != set(kind.columns):
            raise DataError(
                f"a {kind} dataset has the columns {', '.join(kind.columns)}; got {', '.join(sorted(inputs))}"
            )
        if len(classes) < 2 and not kind.generated:
            raise DataError(f"a dataset needs at least two classes, got {list(classes)}")
        checked = as_ids(ids)
        columns = {column: _texts(column, texts, len(checked)) for column, texts in inputs.items()}
        origins = None if sources is None else _texts("source", sources, len(checked))
        if origins is not None and not all(origins):
            raise DataError(
                f"the row with id {str(checked[[not origin for origin in origins]][0])!r} has no source; give every row"
                " one, or none"
            )
        return Dataset(name, split, kind, tuple(classes), checked, columns, origins)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def digest(self) -> str:
        """sha256 of the rows in the order of their ids, of the kind and of the classes. The name and the split do not
        count."""
        order = np.argsort(self.ids, kind="stable")
        columns = [self.inputs[column] for column in self.kind.columns]
        kind: str = self.kind.name
        if self.sources is not None:
            # Another first part, so that no rows with sources have the digest of rows without, which is what it was
            # before there were sources.
            kind, columns = f"{kind} with sources", [*columns, self.sources]
        rows = (str(part) for i in order for part in (self.ids[i], *(column[i] for column in columns)))
        return content_digest([kind, *self.classes, "", *rows])

    def select(self, ids: Sequence[str] | Ids, split: str | None = None) -> Dataset:
        """The rows of these ids, in this order."""
        wanted = as_ids(ids)
        rows = positions(self.ids, wanted)
        inputs = {column: texts[rows] for column, texts in self.inputs.items()}
        sources = None if self.sources is None else self.sources[rows]
        return Dataset.of(self.name, split or self.split, self.kind, self.classes, wanted, sources=sources, **inputs)

    def prompted(self, prompt: str) -> Dataset:
        """The same rows with a prompt around each text (of a pair around the first): `{text}` stands for it."""
        if prompt == PLAIN:
            return self
        around = {
            c: np.array([prompt.replace("{text}", str(text)) for text in self.inputs[c]], dtype=object)
            for c in self.kind.prompted
        }
        return replace(self, inputs={**self.inputs, **around})

    @property
    def candidates(self) -> list[tuple[str, ...]]:
        """The answers that each row of a choice offers."""
        return [tuple(json.loads(choices)) for choices in self.inputs["choices"]]

    def save(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        meta = {"name": self.name, "split": self.split, "kind": self.kind.name, "classes": "\x1f".join(self.classes)}
        columns = {"id": self.ids, **self.inputs} | ({} if self.sources is None else {"source": self.sources})
        table = pa.table({column: pa.array(texts.tolist(), pa.string()) for column, texts in columns.items()})
        pq.write_table(table.replace_schema_metadata(meta), folder / "rows.parquet")

    @staticmethod
    def load(folder: Path) -> Dataset:
        import pyarrow.parquet as pq

        table = pq.read_table(folder / "rows.parquet")
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        kind = kind_of(meta["kind"])
        inputs = {c: table[c].to_numpy(zero_copy_only=False) for c in kind.columns}
        sources = table["source"].to_numpy(zero_copy_only=False) if "source" in table.column_names else None
        classes = tuple(filter(None, meta["classes"].split("\x1f")))
        return Dataset.of(
            meta["name"], meta["split"], kind, classes, table["id"].to_pylist(), sources=sources, **inputs
        )


def _texts(column: str, texts: Sequence[str] | Texts, num_rows: int) -> Texts:
    """One column as a read-only array, with a text for each row."""
    array: Texts = np.asarray(texts, dtype=object)
    if len(array) != num_rows:
        raise DataError(f"column {column!r} has {len(array)} rows for {num_rows} ids")
    array.setflags(write=False)
    return array
