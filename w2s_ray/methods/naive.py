"""Naive weak-to-strong finetuning, and with another `loss:` the confidence methods (Burns et al. 2023, arXiv
2312.09390, § 3 and § 4.3)."""

from __future__ import annotations

from typing import Literal

from w2s_ray.config.method import MethodParams
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class Naive(MethodParams):
    """Train the weak model on gold labels, let it label the pool, train the strong model on these labels."""

    type: Literal["naive"] = "naive"

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        """Floor and ceiling are the runner's: they need gold, which no method sees."""
        teacher = ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool])
        labels = ctx.predict(teacher, task.pool)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels)
