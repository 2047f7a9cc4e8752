"""The `train` step: one fit, with the predictions that ride on it.

Its identity is the model, the recipe, the rows and the labels. Whether weights are kept, and what is predicted on the way, is not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.step import JSON, Rider, Step
from w2s_ray.engine.store import Artifact, cache_folder
from w2s_ray.ops.models import locate

if TYPE_CHECKING:
    from w2s_ray.backends.fitted import Fitted

# Fields of a recipe that decide nothing for a way of adapting, and so are no part of its identity.
UNUSED = {"full": {"lora", "l2"}, "lora": {"l2"}, "probe": set(Recipe.model_fields) - {"adapt", "l2", "layer", "features", "pooling", "precision"}}
# Fields that came later count where they are used, so that what was made before them keeps its key.
LATER = {"features": 1.0, "layer": -1}


def recipe_identity(recipe: Recipe) -> dict[str, Any]:
    """The fields that count."""
    unused = {name for name, default in LATER.items() if getattr(recipe, name) == default and not (name == "layer" and recipe.adapt == "probe")}
    fields = recipe.model_dump(mode="json", exclude=UNUSED[recipe.adapt] | unused)
    return fields | ({"seed": recipe.seed} if recipe.features < 1 else {})  # a probe is solved, so nothing else of it is random


def _slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-{params['recipe']['adapt']}-s{params['recipe'].get('seed', 0)}"


def _owner_slug(params: Params, inputs: Inputs) -> str:
    owner = inputs["model"]
    return owner.slug if isinstance(owner, Key) else ""


TRAIN = Step("train", 1, "w2s_ray.ops.train:run", _slug)
PREDICT = Step("predict", 1, "", _owner_slug)  # rides on `train` or `probe`; has no function of its own
EMBED_TRAINED = Step("embed-trained", 1, "", _owner_slug)


def run(work: Work) -> JSON:
    """Alone or as one of several processes."""
    if not work.resources.sharded:
        return _run(work)
    from w2s_ray.backends.gang import lost_peers

    with lost_peers():
        return _run(work)


def _run(work: Work) -> JSON:
    """Fit, or load what was fitted before; then serve the riders. A fit that kept no weights is repeated for a late rider, which its record says."""
    from w2s_ray.backends.devices import use_threads

    recipe = Recipe.model_validate(work.params["recipe"])
    use_threads(work.resources)
    model_path = locate(str(work.hints["model_path"]))
    cache = cache_folder() / "tokens"
    kept = None if work.fresh else work.store.open(work.call.key)
    if kept is not None and kept.record.value["kept"] != "predictions":
        fitted = _load(kept.path, model_path, work, cache)
    else:
        data = Dataset.load(work.input("data").path)
        fitted = _fit(data, label_sets(work), model_path, recipe, work, cache)
    refit = kept is not None and kept.record.value["kept"] == "predictions"
    seconds = fitted.facts.get("seconds", {})
    began = time.monotonic()
    for rider in work.call.riders:
        _serve(work, rider, fitted, {"refit": refit})
    seconds["predict"] = time.monotonic() - began
    if not work.fresh:
        if work.leads:
            work.place.clear()
        return {}
    began = time.monotonic()
    if work.hints.get("keep_weights"):
        fitted.save(work.out)
    _write_log(work.out, fitted)
    seconds["save"] = time.monotonic() - began
    return {"kept": _kept(work, recipe), "supervision": supervision(work), "facts": fitted.facts | work.hints.get("launch", {})}


def _fit(data: Dataset, labels: list[LabelSet], model_path: str, recipe: Recipe, work: Work, cache: Path) -> Fitted:
    """By this process, or with the others of its gang."""
    from w2s_ray.backends.fit import Job, fit

    job = Job(data, labels, model_path, recipe, work.resources, work.place, cache, watch=work.watch)
    if work.resources.sharded:
        from w2s_ray.backends.sharded import fit_sharded

        return fit_sharded(job)
    return fit(job)


def _load(folder: Path, model_path: str, work: Work, cache: Path) -> Fitted:
    if work.resources.sharded:
        from w2s_ray.backends.sharded import load_sharded

        return load_sharded(folder, model_path, work.resources, cache, work.watch)
    from w2s_ray.backends.fitted import load_fitted

    return load_fitted(folder, model_path, work.resources, cache)


def _serve(work: Work, rider: Rider, fitted: Fitted, value: JSON) -> None:
    data = Dataset.load(work.rider_input(rider, "data").path)
    if rider.step == PREDICT.name:
        work.put_rider(rider, fitted.predict(data).save, value)
    else:
        work.put_rider(rider, fitted.embed(data, rider.params["layer"]).save, value)


def label_sets(work: Work) -> list[LabelSet]:
    """The labels of one teacher or of several."""
    labels = work.inputs["labels"]
    return [LabelSet.load(one.path) for one in ((labels,) if isinstance(labels, Artifact) else labels)]


def supervision(work: Work) -> list[str]:
    """Who supervised: `gold`, or the keys of the labels."""
    labels = work.inputs["labels"]
    return ["gold" if one.key.step == "gold" else one.key.full for one in ((labels,) if isinstance(labels, Artifact) else labels)]


def _kept(work: Work, recipe: Recipe) -> str:
    if not work.hints.get("keep_weights"):
        return "predictions"
    return "adapter" if recipe.adapt == "lora" else "model"


def _write_log(folder: Path, fitted: Fitted) -> None:
    """The loss curve, one JSON line a logged step."""
    import json

    lines = "".join(json.dumps(entry) + "\n" for entry in fitted.log)
    (folder / "log.jsonl").write_text(lines, encoding="utf-8")
