"""An oracle: the student learns only from those weak labels that are right. What a perfect filter would be worth (the upper bound of every method that drops labels)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from w2s_ray.config.method import TEXTS, MethodParams
from w2s_ray.core.dataset import Kind
from w2s_ray.core.labels import LabelSet
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class GoldFilter(MethodParams):
    """Naive, without the rows on which the weak teacher errs: an oracle."""

    type: Literal["gold_filter"] = "gold_filter"
    refuses: ClassVar[Mapping[Kind, str]] = {"generation": TEXTS}

    @property
    def oracle(self) -> bool:
        return True

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        weak = ctx.labels(ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool))
        right_N = weak.hard_N == ctx.labels(task.gold.pool).align(weak.ids).hard_N
        labels = ctx.put(LabelSet.of(weak.ids, weak.probs_NK, mask_N=weak.mask_N, weight_N=np.where(right_N, weak.weight_N, 0.0)))
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, diagnostics={"kept": float(right_N.mean())})
