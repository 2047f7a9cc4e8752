"""Linear probing: the student is a logistic regression on the strong model's frozen features (Burns et al. 2023, arXiv
2312.09390, appendix on probes; EleutherAI/w2s)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from w2s_ray.config.method import TEXTS, VECTORS, MethodParams
from w2s_ray.config.recipe import Layer
from w2s_ray.core.kinds import KindName
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class Probe(MethodParams):
    """A linear model of the weak labels on the strong model's frozen features, which no weight of the strong model
    follows."""

    type: Literal["probe"] = "probe"
    l2: float = Field(1e-3, ge=0, description="of its weights, on standardised features")
    layer: Layer = Field(-1, description="whose hidden states it reads; -1 is the last")
    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS, "choice": VECTORS}

    @field_validator("loss")
    @classmethod
    def _solved_for_cross_entropy(cls, loss: Any) -> Any:
        if getattr(loss, "type", "xent") != "xent":
            raise ValueError(
                f"{loss.type!r} cannot be used with a probe, which is solved for cross-entropy; leave the loss out, or"
                " use naive"
            )
        return loss

    @property
    def layers_read(self) -> Mapping[str, tuple[Layer, ...]]:
        return {"strong": (self.layer,)}

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        labels = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        student = ctx.train(
            task.strong.as_probe(l2=self.l2, layer=self.layer), task.pool, labels, predict_on=[task.pool]
        )
        return Outcome(student=student, labels=labels)
