"""AdaBoost: weak teachers in turn, each trained with more weight on the rows that the one before it got wrong (Zhu et
al. 2009; Sang et al. 2024, arXiv 2402.00667).

Sang et al. measure errors on held-out rows, where a member that knows its own rows by heart still errs, and let members
vote with their probabilities; both are the default. `error_on: labelled` and `vote: hard` are SAMME as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.boost import next_weights, strength, weighted_error
from w2s_ray.blocks.combiners.boosted import Fixed
from w2s_ray.blocks.resample import reweighted
from w2s_ray.config.method import TEXTS, MethodParams
from w2s_ray.core.kinds import KindName
from w2s_ray.ops.task import Member, Outcome, Task
from w2s_ray.ops.verbs import Verbs


class Boosting(MethodParams):
    """Weak teachers in turn, each with more weight on what the one before it got wrong (AdaBoost, SAMME)."""

    trains_teachers: ClassVar[bool] = True
    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS}
    type: Literal["boosting"] = "boosting"
    members: int = Field(4, ge=1, description="how many teachers")
    error_on: Literal["heldout", "labelled"] = Field(
        "heldout", description="where a member's error is measured: the held-out rows, or its own, weighted"
    )
    vote: Literal["soft", "hard"] = Field("soft", description="members give probabilities, or name a class")

    @property
    def needs_heldout(self) -> bool:
        return self.error_on == "heldout"

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        truth = ctx.labels(task.labels)
        checked, checked_labels = ctx.heldout(task) if self.error_on == "heldout" else (task.labelled, task.labels)
        weight_N, strengths, teachers = np.ones(len(truth)), [], []
        for place in range(self.members):
            member = Member(task.weak, task.labelled, ctx.put(reweighted(truth, weight_N)))
            (teacher,) = ctx.train_many([member], predict_on=[task.labelled, task.pool, checked], first=place)
            predicted = ctx.labels(ctx.predict(teacher, task.labelled)).align(truth.ids)
            error = weighted_error(
                ctx.labels(ctx.predict(teacher, checked)),
                ctx.labels(checked_labels),
                weight_N if self.error_on == "labelled" else None,
            )
            teachers.append(teacher)
            strengths.append(strength(error, task.num_classes))
            weight_N = next_weights(weight_N, predicted.hard_N != truth.hard_N, strengths[-1])
        labels, sizes = ctx.combine(Fixed(weights=tuple(strengths), hard=self.vote == "hard"), teachers, task)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, facts={"votes": strengths}, diagnostics=(sizes,))
