"""How good each student of a method that trains several in turn is, and the labels that it learned from."""

from __future__ import annotations

from w2s_ray.core.answers import Answers, load_labels
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.metrics import score
from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import Artifact

STAGES = Step(
    "stages", 1, "w2s_ray.eval.stages:run", lambda params, inputs: f"{len(params['names'])}-stages", inline=True
)


def run(work: Work) -> JSON:
    """One entry a stage: accuracy of its labels on the pool, and of its student on the test rows."""
    (pool,), (test,) = _sets(work, "gold_pool"), _sets(work, "gold_test")
    told = zip(work.params["names"], _sets(work, "labels"), _sets(work, "students"), strict=True)
    return {
        "stages": [
            {"name": name, "labels": score(labels, pool)["accuracy"], "student": score(said, test)["accuracy"]}
            for name, labels, said in told
        ]
    }


def _sets(work: Work, name: str) -> list[LabelSet | Answers]:
    given = work.inputs[name]
    return [load_labels(one.path) for one in ((given,) if isinstance(given, Artifact) else given)]
