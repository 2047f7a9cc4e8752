"""An oracle: the student learns only from those weak labels that are right. What a perfect filter would be worth (the
upper bound of every method that drops labels)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from w2s_ray.config.method import MethodParams
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class GoldFilter(MethodParams):
    """Naive, without the rows on which the weak teacher errs: an oracle."""

    type: Literal["gold_filter"] = "gold_filter"

    @property
    def oracle(self) -> bool:
        return True

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        weak = ctx.outputs(
            ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        )
        right_N = weak.hard_N == ctx.outputs(task.gold.pool).align(weak.ids).hard_N
        labels = ctx.put(replace(weak, weight_N=np.where(right_N, weak.weight_N, 0.0)))
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, facts={"kept": float(right_N.mean())})
