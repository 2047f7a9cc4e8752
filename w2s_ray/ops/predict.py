"""The `predict` step: a model's predictions for rows.

For a trained model it rides on the step that holds the model (`train` or `probe`); for a pretrained model that is used
as it is, it is a step of its own.
"""

from __future__ import annotations

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.identity import restore
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.fitting import check_start, in_its_gang
from w2s_ray.ops.models import model_path


def owner_slug(params: Params, inputs: Inputs) -> str:
    """The slug of the trained model's step, or the name of the pretrained model."""
    owner = inputs.get("model")
    return owner.slug if isinstance(owner, Key) else str(params["model"]).split("@")[0]


PREDICT = Step("predict", 2, "w2s_ray.ops.predict:run", owner_slug)


def run(work: Work) -> JSON:
    """Predict with a pretrained model, in one process or a gang."""
    return in_its_gang(work, _run)


def _run(work: Work) -> JSON:
    from w2s_ray.backends.devices.device import use_threads

    use_threads(work.resources)
    recipe, data = restore(Recipe, work.params["recipe"]), Dataset.load(work.input("data").path)
    check_start(work, data)
    path, cache = model_path(work), cache_folder() / "tokens"
    if work.resources.sharded:
        from w2s_ray.backends.sharded.fit import open_sharded

        model = open_sharded(path, recipe, work.resources, data.kind, data.classes, cache, work.watch).model
    else:
        from w2s_ray.backends.inference.hf import open_model

        model = open_model(path, recipe, work.resources, kind=data.kind, classes=data.classes, cache=cache)
    model.answer(data).save(work.out)
    return {"rows": len(data)}
