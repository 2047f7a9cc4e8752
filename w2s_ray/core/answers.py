"""`Answers`: one text a row, gold or said by a model, with ids, abstentions and weights: the labels of a generation
task.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, as_ids, content_digest, positions
from w2s_ray.core.kinds import Texts
from w2s_ray.core.labels import Floats, LabelSet

ANSWERS_FILE = "answers.parquet"
NUMBERS = ("mask_N", "weight_N", "log_p_N", "ended_N")


@dataclass(frozen=True)
class Answers:
    """What is said of each row. `log_p_N` is how likely its source holds the whole text to be, in nats; 0 where that is
    not known, as of gold. `ended_N` is false where the source was still speaking when it had said as much as it may."""

    ids: Ids
    texts_N: Texts
    mask_N: npt.NDArray[np.bool_]  # False: the source abstains
    weight_N: Floats
    log_p_N: Floats
    ended_N: npt.NDArray[np.bool_]
    source: str = ""
    tokens_N: npt.NDArray[np.object_] | None = None  # the tokens that a model said, in its own tokenizer's ids

    @staticmethod
    def of(
        ids: Sequence[str] | Ids,
        texts: Sequence[str] | Texts,
        *,
        mask_N: npt.ArrayLike | None = None,
        weight_N: npt.ArrayLike | None = None,
        log_p_N: npt.ArrayLike | None = None,
        ended_N: npt.ArrayLike | None = None,
        tokens_N: Sequence[Sequence[int]] | None = None,
        source: str = "",
    ) -> Answers:
        """Build and check. A blank text abstains, for there is nothing in it to learn."""
        checked = as_ids(ids)
        texts_N = np.asarray(texts, dtype=object)
        mask = np.ones(len(checked), dtype=np.bool_) if mask_N is None else np.array(mask_N, dtype=np.bool_)
        weight = np.ones(len(checked)) if weight_N is None else np.array(weight_N, dtype=np.float64)
        log_p = np.zeros(len(checked)) if log_p_N is None else np.array(log_p_N, dtype=np.float64)
        ended = np.ones(len(checked), dtype=np.bool_) if ended_N is None else np.array(ended_N, dtype=np.bool_)
        for name, array in (("text", texts_N), ("mask", mask), ("weight", weight), ("log_p", log_p), ("ended", ended)):
            if array.shape != (len(checked),):
                raise DataError(f"answers must have one {name} a row; got shape {array.shape} for {len(checked)} ids")
        said = None if tokens_N is None else _objects([tuple(row) for row in tokens_N])
        if said is not None and said.shape != (len(checked),):
            raise DataError(f"answers must have tokens for all {len(checked)} ids or for none; got {len(said)}")
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise DataError("row weights must be finite and >= 0")
        mask &= np.array([bool(str(text).strip()) for text in texts_N], dtype=np.bool_)
        for array in (texts_N, mask, weight, log_p, ended):
            array.setflags(write=False)
        return Answers(checked, texts_N, mask, weight, log_p, ended, source, said)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """sha256 of ids, texts, ends, mask and weights in the order of the ids. The source and its confidence do not
        count."""
        order = np.argsort(self.ids, kind="stable")
        rows = (
            str(part)
            for i in order
            for part in (self.ids[i], self.texts_N[i], bool(self.mask_N[i]), bool(self.ended_N[i]))
        )
        return content_digest(["answers", *rows, "", np.ascontiguousarray(self.weight_N[order]).tobytes().hex()])

    @property
    def hard_N(self) -> Texts:
        """The texts as they are compared, "" where the source abstains."""
        return np.array(
            [normal(text) if said else "" for text, said in zip(self.texts_N, self.mask_N, strict=True)], dtype=object
        )

    def align(self, ids: Sequence[str] | Ids) -> Answers:
        """The answers of these ids, in this order; an id without a row is an error."""
        wanted = as_ids(ids)
        rows = positions(self.ids, wanted)
        numbers = {name: getattr(self, name)[rows] for name in NUMBERS}
        tokens = None if self.tokens_N is None else self.tokens_N[rows].tolist()
        return Answers.of(wanted, self.texts_N[rows], source=self.source, tokens_N=tokens, **numbers)

    def save(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "id": pa.array(self.ids.tolist(), pa.string()),
            "text": pa.array([str(text) for text in self.texts_N], pa.string()),
            **{name.removesuffix("_N"): getattr(self, name) for name in NUMBERS},
        }
        if self.tokens_N is not None:
            columns["tokens"] = pa.array([list(said) for said in self.tokens_N], pa.list_(pa.int32()))
        table = pa.table(columns)
        pq.write_table(table.replace_schema_metadata({"source": self.source}), folder / ANSWERS_FILE)

    @staticmethod
    def load(folder: Path) -> Answers:
        import pyarrow.parquet as pq

        table = pq.read_table(folder / ANSWERS_FILE)
        source = (table.schema.metadata or {}).get(b"source", b"").decode()
        numbers = {
            name: table[name.removesuffix("_N")].to_numpy(zero_copy_only=False)
            for name in NUMBERS
            if name.removesuffix("_N") in table.column_names
        }
        tokens = table["tokens"].to_pylist() if "tokens" in table.column_names else None
        return Answers.of(table["id"].to_pylist(), table["text"].to_pylist(), source=source, tokens_N=tokens, **numbers)


def _objects(values: list[tuple[int, ...]]) -> npt.NDArray[np.object_]:
    """One tuple an entry, whatever their lengths."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def normal(text: object) -> str:
    """The form in which answers are compared: without the spaces around, and with one where there are several."""
    return " ".join(str(text).split())


def load_labels(folder: Path) -> LabelSet | Answers:
    """What a folder holds of the two."""
    return Answers.load(folder) if (folder / ANSWERS_FILE).is_file() else LabelSet.load(folder)
