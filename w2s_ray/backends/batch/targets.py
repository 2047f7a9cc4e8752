"""The teachers' labels joined to the rows by id.

Shapes: N rows in the order of their ids, M teachers, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats, LabelSet


@dataclass(frozen=True)
class Targets:
    """The teachers' probabilities (NaN where one abstains), the rows' weights, and which rows have a label."""

    probs_NMK: Floats
    weight_N: Floats
    labelled: npt.NDArray[np.int64]

    @property
    def mean_NK(self) -> Floats:
        """Mean over the teachers that do not abstain; only for labelled rows."""
        probs: Floats = np.nanmean(self.probs_NMK[self.labelled], axis=1)
        return probs


def join(ids: Ids, labels: Sequence[LabelSet | Answers], num_classes: int) -> Targets:
    """Labels of these ids, in their sorted order. A row's weight is the mean over the teachers that do not abstain.
    Answers count as one class of probability 1, since their texts are among the tokens."""
    if not labels:
        raise DataError("no labels; a fit needs at least one teacher")
    for teacher in labels:
        if isinstance(teacher, Answers) == (num_classes > 0):
            raise DataError(
                f"the labels of {teacher.source or 'a teacher'} are {'texts' if num_classes else 'classes'}; labels and"
                " rows must be of the same task"
            )
        if isinstance(teacher, LabelSet) and teacher.num_classes != num_classes:
            raise DataError(
                f"the labels of {teacher.source or 'a teacher'} have {teacher.num_classes} classes where {num_classes}"
                " are wanted; labels and rows must be of the same task"
            )
    aligned = [teacher.align(np.sort(ids)) for teacher in labels]
    mask_NM = np.stack([teacher.mask_N for teacher in aligned], axis=1)
    weight_NM = np.stack([teacher.weight_N for teacher in aligned], axis=1)
    weight_N = (weight_NM * mask_NM).sum(axis=1) / np.maximum(mask_NM.sum(axis=1), 1)
    labelled = np.flatnonzero(weight_N > 0)
    if not len(labelled):
        raise DataError(
            f"none of the {len(ids)} rows has a label with a weight above 0; there is nothing to learn from"
        )
    classes = [teacher for teacher in aligned if isinstance(teacher, LabelSet)]
    return Targets(
        LabelSet.stack(classes) if classes else np.where(mask_NM, 1.0, np.nan)[:, :, None], weight_N, labelled
    )
