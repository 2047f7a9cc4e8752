"""`Dataset`: rows with ids, inputs and their sources. There is no gold column, so no method can read one (see
`eval/gold.py`).

Shapes: N rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, as_ids, content_digest, positions
from w2s_ray.core.kinds import Kind, KindName, Texts, kind_of

PLAIN = "{text}"  # the prompt that adds nothing
SEPARATOR = "\x1f"  # between the names of classes in a file
MORE = "more."  # before the names of added columns in a file


@dataclass(frozen=True)
class Dataset:
    """Rows of one split. Order carries no meaning: two datasets with the same rows have the same digest.

    `sources` names the data source or domain of each row, for methods that select or weight sources; None where it is
    not known.
    """

    name: str
    split: str
    kind: Kind
    classes: tuple[str, ...]
    ids: Ids
    inputs: Mapping[str, Texts]
    sources: Texts | None = None
    more: Mapping[str, Texts] = field(default_factory=dict)  # columns that a method added, for prompts to name

    @staticmethod
    def of(
        name: str,
        split: str,
        kind: Kind | KindName,
        classes: Sequence[str],
        ids: Sequence[str] | Ids,
        *,
        sources: Sequence[str] | Texts | None = None,
        more: Mapping[str, Sequence[str] | Texts] | None = None,
        **inputs: Sequence[str] | Texts,
    ) -> Dataset:
        """Build and check: the kind's columns with one text per row, unique ids, at least two classes (none for
        generation), a source for every row or for none, and any added columns."""
        kind = kind if isinstance(kind, Kind) else kind_of(kind)
        if set(inputs) != set(kind.columns):
            raise DataError(
                f"a {kind} dataset has the columns {', '.join(kind.columns)}; got {', '.join(sorted(inputs))}"
            )
        if len(classes) < 2 and not kind.generated:
            raise DataError(f"a dataset needs at least two classes, got {list(classes)}")
        if not all(name and SEPARATOR not in name for name in classes):
            raise DataError(f"the classes {list(classes)} are to be names; one is empty or holds a control character")
        checked = as_ids(ids)
        columns = {column: _texts(column, texts, len(checked)) for column, texts in inputs.items()}
        origins = None if sources is None else _texts("source", sources, len(checked))
        if origins is not None and not all(origins):
            raise DataError(
                f"the row with id {str(checked[[not origin for origin in origins]][0])!r} has no source; give every row"
                " one, or none"
            )
        added = {column: _texts(column, texts, len(checked)) for column, texts in sorted((more or {}).items())}
        if taken := sorted({"id", "text", "source", *kind.columns} & set(added)):
            raise DataError(f"a column is to be added as {taken[0]!r}, which is taken; give it another name")
        return Dataset(name, split, kind, tuple(classes), checked, columns, origins, added)

    def __len__(self) -> int:
        return len(self.ids)

    def check_any(self) -> None:
        """Refuse to be read where there is nothing to read."""
        if not len(self):
            raise DataError(
                f"{self.name} has no rows in {self.split}, so there is nothing to read; give at least one row"
            )

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
            # The first part differs, so that rows with sources never share a digest with rows without. The latter keep
            # the digest that they had before sources were added.
            kind, columns = f"{kind} with sources", [*columns, self.sources]
        if self.more:
            kind, columns = f"{kind} and {', '.join(self.more)}", [*columns, *self.more.values()]
        rows = (str(part) for i in order for part in (self.ids[i], *(column[i] for column in columns)))
        return content_digest([kind, *self.classes, "", *rows])

    def select(self, ids: Sequence[str] | Ids, split: str | None = None) -> Dataset:
        """The rows of these ids, in this order."""
        wanted = as_ids(ids)
        rows = positions(self.ids, wanted)
        inputs = {column: texts[rows] for column, texts in self.inputs.items()}
        sources = None if self.sources is None else self.sources[rows]
        more = {column: texts[rows] for column, texts in self.more.items()}
        return Dataset.of(
            self.name, split or self.split, self.kind, self.classes, wanted, sources=sources, more=more, **inputs
        )

    def with_column(self, column: str, texts: Sequence[str] | Texts) -> Dataset:
        """A copy with one more column, given in the order of the rows, which a recipe's prompt may name."""
        return Dataset.of(
            self.name, self.split, self.kind, self.classes, self.ids, sources=self.sources,
            more={**self.more, column: texts}, **self.inputs,
        )  # fmt: skip

    def prompted(self, prompt: str) -> Dataset:
        """A copy with a prompt around each text (in a pair, around the first): `{text}` stands for the text, and
        `{name}` for an added column of that name."""
        if prompt == PLAIN:
            return self
        around = {column: self._prompted(prompt, column) for column in self.kind.prompted}
        return replace(self, inputs={**self.inputs, **around})

    def _prompted(self, prompt: str, column: str) -> Texts:
        columns = {"text": self.inputs[column], **self.more}
        names = re.compile("|".join(re.escape(f"{{{name}}}") for name in columns))

        def filled(row: int) -> str:  # in one pass, so that a text in braces stays what it is
            return names.sub(lambda found: str(columns[found[0][1:-1]][row]), prompt)

        texts: Texts = np.array([filled(row) for row in range(len(self))], dtype=object)
        return texts

    @property
    def candidates(self) -> list[tuple[str, ...]]:
        """The candidate answers of each row of kind `choice`."""
        return [tuple(json.loads(choices)) for choices in self.inputs["choices"]]

    def save(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        meta = {"name": self.name, "split": self.split, "kind": self.kind.name, "classes": SEPARATOR.join(self.classes)}
        columns = {"id": self.ids, **self.inputs} | ({} if self.sources is None else {"source": self.sources})
        columns |= {f"{MORE}{name}": texts for name, texts in self.more.items()}
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
        added = [name for name in table.column_names if name.startswith(MORE)]
        more = {name.removeprefix(MORE): table[name].to_numpy(zero_copy_only=False) for name in added}
        classes = tuple(meta["classes"].split(SEPARATOR)) if meta["classes"] else ()
        ids = table["id"].to_pylist()
        return Dataset.of(meta["name"], meta["split"], kind, classes, ids, sources=sources, more=more, **inputs)


def _texts(column: str, texts: Sequence[str] | Texts, num_rows: int) -> Texts:
    """One column as a read-only array, with a text for each row."""
    array: Texts = np.asarray(texts, dtype=object)
    if len(array) != num_rows:
        raise DataError(f"column {column!r} has {len(array)} rows for {num_rows} ids")
    array.setflags(write=False)
    return array
