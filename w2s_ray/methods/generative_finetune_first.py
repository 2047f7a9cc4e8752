"""Generative supervision: the strong model first reads the task's texts as a language model, without labels, then
learns the weak labels (Burns et al. 2023, arXiv 2312.09390, § 5.2.2, for reward modelling)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_ray.config.method import MethodParams
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class GenerativeFinetuneFirst(MethodParams):
    """The strong model goes on with its pretraining on the texts of the labelled half and the pool before it sees a
    label."""

    type: Literal["generative_finetune_first"] = "generative_finetune_first"
    epochs: int = Field(1, ge=1, description="over the texts")
    lr: float | None = Field(None, gt=0, description="of the reading; default: that of train.strong")

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        labels = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        reader = task.strong.with_recipe(
            epochs=self.epochs, lr=self.lr, adapt="full" if task.strong.recipe.way.solved else None
        )
        read = ctx.read(reader, [task.labelled, task.pool])
        student = ctx.train(
            task.strong.started_from(read).with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool]
        )
        return Outcome(student=student, labels=labels)
