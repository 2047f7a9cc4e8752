"""The `embed` step (features of a pretrained model) and the `probe` step (a linear model on them)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import PLAIN, Dataset
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.models import model_path
from w2s_ray.ops.train import caught, label_sets, supervision

if TYPE_CHECKING:
    from w2s_ray.backends.probes import FittedProbe


def _embed_slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-l{params['layer']}"


def _probe_slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-probe"


EMBED = Step("embed", 2, "w2s_ray.ops.embed:embed", _embed_slug)
PROBE = Step("probe", 2, "w2s_ray.ops.embed:probe", _probe_slug)


def embed(work: Work) -> JSON:
    """One vector a row."""
    from w2s_ray.backends.devices import use_threads

    use_threads(work.resources)
    recipe = Recipe(pooling=work.params["pooling"], precision=work.params["precision"], layer=work.params["layer"], prompt=work.params.get("prompt", PLAIN))
    path, data, cache = model_path(work), Dataset.load(work.input("data").path), cache_folder() / "tokens"
    if work.resources.sharded:
        from w2s_ray.backends.gang import lost_peers
        from w2s_ray.backends.sharded import embed_sharded

        with lost_peers():
            features = embed_sharded(path, data, recipe, work.resources, cache, work.watch)
    else:
        from w2s_ray.backends.embed import embed_base

        features = embed_base(path, data, recipe, work.resources, cache)
    replace(features, model=work.call.key.full).save(work.out)
    return {"rows": len(features), "features": int(features.array_ND.shape[1])}


def probe(work: Work) -> JSON:
    """Fit a logistic regression on frozen features, predict the riders' rows from theirs. It is cheap enough to be fitted again for a late rider."""
    (outcome,) = probe_many([work])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def probe_many(works: Sequence[Work]) -> list[JSON | Exception]:
    """Several probes on the same features, solved at once."""
    from w2s_ray.backends.probes import fit_probes

    features = Features.load(works[0].input("features").path)
    fitted = fit_probes(features, [class_labels(work) for work in works], [Recipe.model_validate(work.params["recipe"]) for work in works])
    return [caught(lambda work=work, probe=probe: _finish(work, probe)) for work, probe in zip(works, fitted, strict=True)]  # type: ignore[misc]  # mypy does not infer such a lambda


def class_labels(work: Work) -> list[LabelSet]:
    """What a probe can learn."""
    return [labels for labels in label_sets(work) if isinstance(labels, LabelSet)]


def _finish(work: Work, fitted: FittedProbe) -> JSON:
    for rider in work.call.riders:
        work.put_rider(rider, fitted.predict(Features.load(work.rider_input(rider, "features").path)).save)
    if not work.fresh:
        return {}
    fitted.save(work.out)
    return {"kept": "model", "supervision": supervision(work), "facts": fitted.facts}
