"""Early stopping of the student: of several evaluations while it learns, the best one's weights are kept.

By gold of the test rows it is the cheating upper bound of Burns et al. 2023 (arXiv 2312.09390, § 5.1.1), which shows
how far students overfit to weak labels. By the weak labels of pool rows that are kept out it is what EleutherAI/w2s
does (`w2s/sft.py`); by the labelled half's held-out gold it uses no label that a weak-to-strong study does not have.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.config.method import MethodParams
from w2s_ray.config.recipe import Check
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class EarlyStop(MethodParams):
    """Naive, with the weights of the best of several evaluations: by gold (an oracle), by held-out gold of the labelled
    half, or by weak labels."""

    type: Literal["early_stop"] = "early_stop"
    by: Literal["gold", "heldout", "weak_labels"] = Field(
        "gold",
        description=(
            "gold of the test rows, an upper bound that tables mark; gold of the labelled half's held-out rows; or weak"
            " labels of pool rows that are kept out"
        ),
    )
    check: Check = Field(default_factory=Check)

    @property
    def stopping(self) -> Check:
        return self.check

    @property
    def needs_heldout(self) -> bool:
        return self.by == "heldout"

    @property
    def oracle(self) -> bool:
        return self.by == "gold"

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        labels = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        rows = (
            None
            if self.by == "weak_labels"
            else ctx.heldout(task)
            if self.by == "heldout"
            else (task.test, task.gold.test)
        )
        student = ctx.train(
            task.strong.with_recipe(loss=self.loss, check=self.check),
            task.pool,
            labels,
            predict_on=[task.pool],
            check=rows,
        )
        return Outcome(student=student, labels=labels)
