"""Random subspaces: weak teachers that read different hidden dimensions or layers (Ho 1998, doi 10.1109/34.709601; Sang
et al. 2024, arXiv 2402.00667, feature and layer sampling)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from w2s_ray.blocks.combiners.contract import Combine
from w2s_ray.blocks.combiners.mean import Mean
from w2s_ray.config.method import TEXTS, MethodParams
from w2s_ray.config.recipe import Layer
from w2s_ray.core.kinds import KindName
from w2s_ray.ops.task import Member, Outcome, Task
from w2s_ray.ops.verbs import Verbs


class RandomSubspace(MethodParams):
    """Several weak teachers, each with a head on some of the hidden dimensions or on another layer, label the pool
    together."""

    trains_teachers: ClassVar[bool] = True
    refuses: ClassVar[Mapping[KindName, str]] = {
        "generation": TEXTS,
        "choice": (
            "its members differ in what their heads read, and a choice is answered by the language model's own; use"
            " bagging, or task.format: choices"
        ),
    }
    type: Literal["random_subspace"] = "random_subspace"
    members: int = Field(
        8, ge=1, description="how many teachers; a larger ensemble begins with the members of a smaller one"
    )
    features: float = Field(
        0.5, gt=0, le=1, description="share of the hidden dimensions that each reads (Sang et al.: .1 to .7)"
    )
    layers: tuple[Layer, ...] = Field(
        (-1,), min_length=1, description="whose hidden states they read, in turn; -1 is the last"
    )
    combine: Combine = Field(default_factory=Mean)

    @property
    def layers_read(self) -> Mapping[str, tuple[Layer, ...]]:
        return {"weak": self.layers}

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        learners = [
            task.weak.with_recipe(features=self.features, layer=self.layers[n % len(self.layers)])
            for n in range(self.members)
        ]
        teachers = ctx.train_many(
            [Member(learner, task.labelled, task.labels) for learner in learners],
            predict_on=ctx.votes_on(task, self.combine),
        )
        labels, sizes = ctx.combine(self.combine, teachers, task)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, diagnostics=(sizes,))
