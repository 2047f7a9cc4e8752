"""Linear probing, then finetuning (Burns et al. 2023, arXiv 2312.09390, appendix on probes; Kumar et al. 2022, arXiv
2202.10054).

Two things go from the probe to the finetuning under this name: its labels of the pool, which smooth the weak ones, or
its weights, as which the head starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from w2s_ray.config.method import TEXTS, VECTORS, MethodParams
from w2s_ray.core.kinds import KindName
from w2s_ray.ops.stages import Stage, students_in_turn
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class ProbeThenFinetune(MethodParams):
    """A probe of the strong model learns the weak labels first, and hands its labels or its weights to the
    finetuning."""

    type: Literal["probe_then_finetune"] = "probe_then_finetune"
    hands_on: Literal["labels", "head"] = Field(
        "labels",
        description=(
            "labels: the probe's labels of the pool are learned; head: the weak ones, by a head that starts as the"
            " probe"
        ),
    )
    l2: float = Field(1e-3, ge=0, description="of the probe's weights, on standardised features")
    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS, "choice": VECTORS}

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        weak = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        strong = task.strong.with_recipe(loss=self.loss)
        probe = ctx.train(
            task.strong.as_probe(l2=self.l2, layer=strong.recipe.layer), task.pool, weak, predict_on=[task.pool]
        )
        labels = ctx.predict(probe, task.pool) if self.hands_on == "labels" else weak
        student = ctx.train(
            strong, task.pool, labels, predict_on=[task.pool], head=probe if self.hands_on == "head" else None
        )
        stages = Stage("probe", probe, weak), Stage("finetuned", student, labels)
        return Outcome(student=student, labels=labels, diagnostics=(students_in_turn(ctx, task, stages),))
