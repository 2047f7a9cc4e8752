"""The `probe` step: a linear model on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import GONE, DamagedArtifact, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.identity import restore
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.ops.fitting import caught, label_sets, supervision

if TYPE_CHECKING:
    from w2s_ray.backends.batch.targets import Targets
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
    """Several probes on the same features, solved at once. One whose labels do not suit the rows fails alone."""
    from w2s_ray.backends.fit.probes import solve_probes

    features = Features.load(works[0].input("features").path)
    targets = [caught(_targets, work, features) for work in works]
    fine = [
        (each, restore(Recipe, work.params["recipe"]))
        for work, each in zip(works, targets, strict=True)
        if not isinstance(each, Exception)
    ]
    fitted = iter(solve_probes(features, [each for each, _ in fine], [recipe for _, recipe in fine]) if fine else ())
    return [
        each if isinstance(each, Exception) else caught(_finish, work, next(fitted))
        for work, each in zip(works, targets, strict=True)
    ]


def _targets(work: Work, features: Features) -> Targets:
    """The labels joined to the rows of the features; a probe cannot learn texts."""
    from w2s_ray.backends.batch.targets import join

    labels = label_sets(work)
    for each in labels:
        if isinstance(each, Answers):
            raise DataError(
                f"the labels of {each.source or 'a teacher'} are texts, which a probe cannot learn; give labels of"
                " classes, or use adapt: full or lora"
            )
    return join(features.ids, labels, _num_classes(work))


def _num_classes(work: Work) -> int:
    """Of the rows that the features are of, as their record says."""
    rows = Key.parse(str(work.input("features").record.inputs["data"]))
    record = work.store.record(rows)
    if record is None:
        raise DamagedArtifact(rows.full, GONE)
    return len(record.value["classes"])


def _finish(work: Work, fitted: FittedProbe) -> JSON:
    for rider in work.call.riders:
        work.put_rider(rider, fitted.predict(Features.load(work.rider_input(rider, "features").path)).save)
    if not work.fresh:
        return {}
    fitted.save(work.out)
    return {"kept": "model", "supervision": supervision(work), "facts": fitted.facts}
