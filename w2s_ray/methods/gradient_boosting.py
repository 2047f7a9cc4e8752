"""Gradient boosting: weak teachers in turn, each trained on what is still missing, y - p (Friedman 2001; Sang et al.
2024, arXiv 2402.00667, the residual variant).

Sang et al. fit the residual with a squared error; here it is encoded as soft labels, whose cross-entropy has the same
minimum (blocks/boost.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from w2s_ray.blocks.boost import residual_labels
from w2s_ray.blocks.combiners.boosted import Additive
from w2s_ray.config.method import TEXTS, MethodParams
from w2s_ray.core.kinds import KindName
from w2s_ray.core.labels import LabelSet
from w2s_ray.ops.task import Member, Outcome, Task
from w2s_ray.ops.verbs import Verbs


class GradientBoosting(MethodParams):
    """Weak teachers in turn, each trained on the residual of those before it."""

    trains_teachers: ClassVar[bool] = True
    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS}
    type: Literal["gradient_boosting"] = "gradient_boosting"
    members: int = Field(4, ge=1, description="how many teachers")
    rate: float = Field(1.0, gt=0, le=1, description="how much of each teacher's residual is added")

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        truth, combiner = ctx.labels(task.labels), Additive(rate=self.rate)
        now = LabelSet.of(truth.ids, [[1 / task.num_classes] * task.num_classes] * len(truth))
        teachers, predictions = [], []
        for place in range(self.members):
            member = Member(task.weak, task.labelled, ctx.put(residual_labels(truth, now)))
            (teacher,) = ctx.train_many([member], predict_on=[task.labelled, task.pool], first=place)
            teachers.append(teacher)
            predictions.append(ctx.labels(ctx.predict(teacher, task.labelled)).align(truth.ids))
            now = combiner.combine(predictions)
        labels, sizes = ctx.combine(combiner, teachers, task)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, diagnostics=(sizes,))
