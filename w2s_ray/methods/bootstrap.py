"""Bootstrapping: each student labels the pool for the next, larger one (Burns et al. 2023, arXiv 2312.09390, §
4.3.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.config.method import MethodParams
from w2s_ray.ops.stages import Stage, students_in_turn
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class Bootstrap(MethodParams):
    """Students of growing size in turn, each taught by the one before it."""

    type: Literal["bootstrap"] = "bootstrap"
    ladder: tuple[str, ...] = Field(
        min_length=1,
        description="models between the weak and the strong one, the smallest first, finetuned as the strong one is",
    )

    @property
    def other_students(self) -> tuple[str, ...]:
        return self.ladder

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        labels = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        stages = []
        for learner in (*map(task.strong_like, self.ladder), task.strong):
            student = ctx.train(learner.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
            stages.append(Stage(learner.model.name, student, labels))
            labels = ctx.predict(student, task.pool)
        told = students_in_turn(ctx, task, stages)
        return Outcome(student=stages[-1].student, labels=stages[-1].labels, diagnostics=(told,))
