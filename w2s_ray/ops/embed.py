"""The `embed` step: features of a pretrained model."""

from __future__ import annotations

from dataclasses import replace

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.identity import restore
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.models import model_path


def _embed_slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-l{params['recipe']['layer']}"


EMBED = Step("embed", 2, "w2s_ray.ops.embed:embed", _embed_slug)


def embed(work: Work) -> JSON:
    """One vector a row."""
    from w2s_ray.backends.devices.device import use_threads

    use_threads(work.resources)
    recipe = restore(Recipe, work.params["recipe"])
    path, data, cache = model_path(work), Dataset.load(work.input("data").path), cache_folder() / "tokens"
    if work.resources.sharded:
        from w2s_ray.backends.devices.gang import lost_peers
        from w2s_ray.backends.sharded.fit import embed_sharded

        with lost_peers():
            features = embed_sharded(path, data, recipe, work.resources, cache, work.watch)
    else:
        from w2s_ray.backends.inference.embed import embed_base

        features = embed_base(path, data, recipe, work.resources, cache)
    replace(features, model=work.call.key.full).save(work.out)
    return {"rows": len(features), "features": int(features.array_ND.shape[1])}
