"""Early stopping: evaluations on rows that the fit does not learn from, of which the best one's weights are kept.

With the labels that the fit learns from, a student is judged by its weak teacher (EleutherAI/w2s, `w2s/sft.py`); with
gold it is the upper bound that Burns et al. 2023 (arXiv 2312.09390, § 5.1.1) call cheating.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from w2s_ray.backends.fit.checkpoint import CheckpointPlace
from w2s_ray.config.recipe import Check
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.metrics import score
from w2s_ray.core.seeds import unit_hash

Labels = LabelSet | Answers


@dataclass(frozen=True)
class Checks:
    """When a fit is evaluated, and how good it is: larger is better."""

    every: int
    evaluate: Callable[[], float]

    def due(self, step: int, total: int) -> bool:
        return step % self.every == 0 or step == total


@dataclass(frozen=True)
class Best:
    """The place of the best checkpoint so far, beside the newest: alternately one of two."""

    place: CheckpointPlace
    turn: int

    @staticmethod
    def of(place: CheckpointPlace, evaluations: Sequence[dict[str, float]]) -> Best:
        """The place after these evaluations: it changes with each one that was better than all before."""
        best, turn = float("-inf"), 0
        for one in evaluations:
            if one["score"] > best:
                best, turn = one["score"], 1 - turn
        return Best(place, turn)

    @property
    def scratch(self) -> Path:
        return self.place.scratch

    def fetch(self, name: str) -> Path | None:
        return self.place.fetch(f"best{self.turn}-{name}")

    def keep(self, name: str, file: Path) -> None:
        self.place.keep(f"best{self.turn}-{name}", file)


def kept_out(ids: Ids, share: float) -> Ids:
    """The rows that a fit is evaluated on where it was given none: the same for every seed."""
    chosen = [unit_hash(0, "check", str(i)) < share for i in ids]
    if all(chosen) or not any(chosen):
        raise DataError(
            f"check.share is {share:g}, which of {len(ids)} labelled rows keeps out {sum(chosen)}; give more rows, or"
            " another share"
        )
    out: Ids = ids[np.array(chosen)]
    return out


def every_steps(check: Check, total: int) -> int:
    return max(1, round(check.every * total) if check.every < 1 else int(check.every))


def judge(check: Check, predicted: Labels, teachers: Sequence[Labels]) -> float:
    """The metric of predictions, against the mean of the teachers that do not abstain; larger is better. Texts have no
    mean."""
    if len(teachers) > 1 and not isinstance(teachers[0], LabelSet):
        raise ConfigError(
            "check: answers of several teachers cannot be looked at together, for texts have no mean; leave check out"
        )
    truth = teachers[0].align(predicted.ids)
    if isinstance(truth, LabelSet) and len(teachers) > 1:
        probs_NMK = LabelSet.stack([truth, *(t for t in teachers[1:] if isinstance(t, LabelSet))])
        spoken_N = (~np.isnan(probs_NMK[:, :, 0])).any(axis=1)
        mean_NK = np.full(truth.probs_NK.shape, 1 / truth.num_classes)
        mean_NK[spoken_N] = np.nanmean(probs_NMK[spoken_N], axis=1)
        truth = LabelSet.of(truth.ids, mean_NK, mask_N=spoken_N)
    found = score(predicted, truth)
    if found[check.metric] is None:
        raise ConfigError(
            f"check.metric: {check.metric} is not defined by the labels that are looked at, gold or weak"
            f" ({found['reasons'][check.metric]}); set check.metric: accuracy, or a larger check.share"
        )
    return float(found[check.metric]) * (-1 if check.metric == "log_loss" else 1)


def rows_to_check(
    data: Dataset, teachers: Sequence[Labels], given: tuple[Dataset, Sequence[Labels]] | None, check: Check
) -> tuple[Dataset, Sequence[Labels], Ids]:
    """The rows to evaluate on, their labels, and which of the fit's own rows it must not learn from."""
    if given is not None:
        return given[0], given[1], data.ids[:0]
    labelled = np.unique(np.concatenate([teacher.ids[teacher.mask_N & (teacher.weight_N > 0)] for teacher in teachers]))
    out = kept_out(labelled, check.share)
    return data.select(out), [teacher.align(out) for teacher in teachers], out
