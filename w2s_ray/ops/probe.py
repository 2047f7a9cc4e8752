"""The `probe` step: a linear model on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.features import Features
from w2s_ray.core.identity import restore
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.ops.fitting import caught, label_sets, supervision

if TYPE_CHECKING:
    from w2s_ray.backends.fit.probes import FittedProbe


def _slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-probe"


PROBE = Step("probe", 2, "w2s_ray.ops.probe:probe", _slug)


def probe(work: Work) -> JSON:
    """Fit a logistic regression on frozen features, predict the riders' rows from theirs. It is cheap enough to be
    fitted again for a late rider."""
    (outcome,) = probe_many([work])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def probe_many(works: Sequence[Work]) -> list[JSON | Exception]:
    """Several probes on the same features, solved at once."""
    from w2s_ray.backends.fit.probes import fit_probes

    features = Features.load(works[0].input("features").path)
    fitted = fit_probes(
        features, [class_labels(work) for work in works], [restore(Recipe, work.params["recipe"]) for work in works]
    )
    return [caught(_finish, work, probe) for work, probe in zip(works, fitted, strict=True)]


def class_labels(work: Work) -> list[LabelSet]:
    """The class labels among the labels: a probe cannot learn texts."""
    return [labels for labels in label_sets(work) if isinstance(labels, LabelSet)]


def _finish(work: Work, fitted: FittedProbe) -> JSON:
    for rider in work.call.riders:
        work.put_rider(rider, fitted.predict(Features.load(work.rider_input(rider, "features").path)).save)
    if not work.fresh:
        return {}
    fitted.save(work.out)
    return {"kept": "model", "supervision": supervision(work), "facts": fitted.facts}
