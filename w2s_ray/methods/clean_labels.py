"""Label cleaning: a simple model of the weak labels on the strong model's frozen features replaces them, or says which
to leave out (EleutherAI/w2s, `w2s/probe.py`, `w2s/sft.py`: `--probe_relabel`, `--probe_filter`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.cleaners.contract import Clean
from w2s_ray.blocks.cleaners.knn import Knn
from w2s_ray.config.method import TEXTS, VECTORS, MethodParams
from w2s_ray.config.recipe import Layer
from w2s_ray.core.kinds import KindName
from w2s_ray.core.labels import LabelSet
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs


class CleanLabels(MethodParams):
    """Weak labels that the strong model's features do not bear out are replaced, or their rows left out."""

    type: Literal["clean_labels"] = "clean_labels"
    by: Clean = Field(default_factory=Knn, description="knn, logistic or topofilter")
    what: Literal["relabel", "filter"] = "relabel"
    contamination: float = Field(0.1, ge=0, lt=1, description="share of the rows that a filter leaves out")
    layer: Layer = Field("middle", description="whose hidden states are read; -1 is the last")
    refuses: ClassVar[Mapping[KindName, str]] = {"generation": TEXTS, "choice": VECTORS}

    @property
    def layers_read(self) -> Mapping[str, tuple[Layer, ...]]:
        return {"strong": (self.layer,)}

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        weak = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        features = ctx.embed(task.strong, task.pool, layer=self.layer)
        labels = ctx.labels(weak)
        if self.what == "relabel":
            cleaned = self.by.relabel(ctx.features(features), labels)
        else:
            kept_N = np.isin(labels.ids, self.by.keep(ctx.features(features), labels, self.contamination))
            cleaned = LabelSet.of(
                labels.ids, labels.probs_NK, mask_N=labels.mask_N, weight_N=np.where(kept_N, labels.weight_N, 0.0)
            )
        taught = ctx.put(cleaned)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, taught, predict_on=[task.pool])
        return Outcome(student=student, labels=taught, facts={"left out": float((cleaned.weight_N == 0).mean())})
