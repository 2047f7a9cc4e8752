"""A mix of models: weak teachers of several pretrained models label the pool together (Sang et al. 2024, arXiv 2402.00667)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.blocks.combiners.contract import Combine
from w2s_ray.blocks.combiners.mean import Mean
from w2s_ray.config.method import MethodParams
from w2s_ray.ops.task import Member, Outcome, Task
from w2s_ray.ops.verbs import Verbs


class ModelMix(MethodParams):
    """Weak teachers of several pretrained models label the pool together."""

    type: Literal["model_mix"] = "model_mix"
    models: tuple[str, ...] = Field(min_length=1, description="named as under `models:`; each is finetuned as the weak one is")
    each: int = Field(1, ge=1, description="teachers of each model, with seeds of their own")
    combine: Combine = Field(default_factory=Mean)

    @property
    def other_models(self) -> tuple[str, ...]:
        return self.models

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        learners = [task.weak_like(name) for _ in range(self.each) for name in self.models]
        teachers = ctx.train_many([Member(learner, task.labelled, task.labels) for learner in learners], predict_on=ctx.votes_on(task, self.combine))
        labels, ensemble = ctx.combine(self.combine, teachers, task)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, ensemble=ensemble)
