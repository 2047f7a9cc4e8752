"""A mix of models or recipes: weak teachers that differ in their pretrained model or in how they are finetuned label
the pool together (Sang et al. 2024, arXiv 2402.00667)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from w2s_ray.blocks.combiners.contract import Combine
from w2s_ray.blocks.combiners.mean import Mean
from w2s_ray.config.method import TEXTS, MethodParams
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.kinds import KindName
from w2s_ray.ops.task import Learner, Member, Outcome, Task
from w2s_ray.ops.verbs import Verbs


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    """Fields of a recipe, as its own checks leave them."""
    if "seed" in changes:
        raise ValueError("recipes set no seed: each member has one of its own")
    recipe = Recipe.model_validate(changes)
    return {name: getattr(recipe, name) for name in changes}


class ModelMix(MethodParams):
    """Weak teachers of several pretrained models or recipes label the pool together."""

    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS}
    type: Literal["model_mix"] = "model_mix"
    models: tuple[str, ...] = Field((), description="named as under `models:`; default: the weak one")
    recipes: tuple[Annotated[dict[str, Any], AfterValidator(_checked)], ...] = Field(
        ({},),
        min_length=1,
        description=(
            "what differs from train.weak, such as [{lr: 1e-3}, {lr: 3e-3, epochs: 2}]; every model learns by every one"
        ),
    )
    each: int = Field(1, ge=1, description="teachers of each kind, with seeds of their own")
    combine: Combine = Field(default_factory=Mean)

    @model_validator(mode="after")
    def _kinds_once(self) -> ModelMix:
        for name, kinds in (("models", self.models), ("recipes", self.recipes)):
            if len(kinds) > len({str(kind) for kind in kinds}):
                raise ValueError(
                    f"{name}: one stands twice in {list(kinds)}; keep one, and use each: for several teachers of a kind"
                )
        return self

    @property
    def other_models(self) -> tuple[str, ...]:
        return self.models

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        weak: list[Learner] = [task.weak_like(name) for name in self.models] or [task.weak]
        learners = [
            learner.with_recipe(**changes) for _ in range(self.each) for changes in self.recipes for learner in weak
        ]
        teachers = ctx.train_many(
            [Member(learner, task.labelled, task.labels) for learner in learners],
            predict_on=ctx.votes_on(task, self.combine),
        )
        labels, sizes = ctx.combine(self.combine, teachers, task)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, diagnostics=(sizes,))
