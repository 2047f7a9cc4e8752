"""Row ids: made of a row's content unless the source brings its own, so that labels are joined by id and never by
position."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import AlignmentError, DataError

Ids = npt.NDArray[np.str_]


def content_digest(parts: Iterable[str]) -> str:
    """sha256 of a sequence of strings, each with its length, so that no two sequences collide by concatenation."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def content_id(*texts: str) -> str:
    """The id of a row that has none of its own: 16 hex digits of its content's digest."""
    return content_digest(texts)[:16]


def as_ids(ids: Sequence[str] | Ids) -> Ids:
    """Ids as a read-only string array; refuses empty ids and duplicates."""
    array = np.asarray(ids, dtype=np.str_)
    if array.ndim != 1:
        raise DataError(f"ids must be a flat list, got an array of shape {array.shape}")
    unique, counts = np.unique(array, return_counts=True)
    if len(unique) < len(array):
        twice = unique[counts > 1]
        raise DataError(
            f"{len(twice)} ids stand more than once, the first is {str(twice[0])!r}; ids must be unique: drop the"
            " duplicates or name another id column"
        )
    if len(array) and "" in unique:
        raise DataError("an id is empty; give every row an id or leave the id column out")
    array = array.copy()
    array.setflags(write=False)
    return array


def positions(have: Ids, want: Ids) -> npt.NDArray[np.intp]:
    """Where each wanted id stands in `have`; an id that is not there is an error, never a guess."""
    order = np.argsort(have, kind="stable")
    if len(have) == 0:
        missing = want
        found = np.zeros(len(want), dtype=np.intp)
    else:
        slot = np.minimum(np.searchsorted(have, want, sorter=order), len(have) - 1)
        found = order[slot]
        missing = want[have[found] != want]
    if len(missing):
        raise AlignmentError(
            f"{len(missing)} of {len(want)} ids are not among the {len(have)} at hand, the first is"
            f" {str(missing[0])!r}; labels, features and rows must be of the same data"
        )
    return found
