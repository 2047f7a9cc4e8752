"""Strong-to-strong iterations: the student labels the pool anew for a fresh copy of itself (EleutherAI/w2s, `run.py`:
`s2s_iters`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.config.method import MethodParams
from w2s_ray.ops.stages import Stage, students_in_turn
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class StrongToStrong(MethodParams):
    """The strong model is taught by the weak one, then again and again, from its pretrained weights, by itself."""

    type: Literal["strong_to_strong"] = "strong_to_strong"
    iterations: int = Field(2, ge=1, description="fits after the first (EleutherAI: 2)")

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        labels = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        stages = []
        for n in range(self.iterations + 1):
            student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
            stages.append(Stage(f"iteration {n}", student, labels))
            labels = ctx.predict(student, task.pool)
        told = students_in_turn(ctx, task, stages)
        return Outcome(student=stages[-1].student, labels=stages[-1].labels, diagnostics=(told,))
