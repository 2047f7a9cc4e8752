"""Bagging: weak teachers that saw different rows label the pool together (Breiman 1996; Sang et al. 2024, arXiv
2402.00667, ensembles by data sampling)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from w2s_ray.blocks.combiners.contract import Combine
from w2s_ray.blocks.combiners.mean import Mean
from w2s_ray.blocks.resample import resample
from w2s_ray.config.method import TEXTS, MethodParams
from w2s_ray.core.kinds import KindName
from w2s_ray.ops.task import Member, Outcome, Task
from w2s_ray.ops.verbs import Verbs


class Bagging(MethodParams):
    """Several weak teachers, each trained on rows drawn for it, label the pool together."""

    trains_teachers: ClassVar[bool] = True
    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS}
    type: Literal["bagging"] = "bagging"
    members: int = Field(
        8, ge=1, description="how many teachers; a larger ensemble begins with the members of a smaller one"
    )
    sample: Literal["bootstrap"] | Annotated[float, Field(gt=0, le=1)] = Field(
        "bootstrap", description="with replacement, or a share of the rows without"
    )
    combine: Combine = Field(default_factory=Mean)

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        truth = ctx.labels(task.labels)
        drawn = [ctx.put(resample(truth, self.sample, ctx.seed, n)) for n in range(self.members)]
        teachers = ctx.train_many(
            [Member(task.weak, task.labelled, labels) for labels in drawn], predict_on=ctx.votes_on(task, self.combine)
        )
        labels, sizes = ctx.combine(self.combine, teachers, task)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, diagnostics=(sizes,))
