"""The `train` step: one fit, with the predictions that ride on it.

Its identity is the model, the recipe, the rows and the labels. Whether weights are kept, and what is predicted on the
way, is not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from w2s_ray.config.adapt import ADAPTS, STACK
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.identity import identity, restore
from w2s_ray.core.resources import Resources
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params, digest
from w2s_ray.engine.step import JSON, Rider, Stack, Step
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.fitting import caught, check_start, check_whole, fit_job, in_its_gang, label_sets, supervision
from w2s_ray.ops.models import model_path
from w2s_ray.ops.predict import PREDICT, owner_slug

if TYPE_CHECKING:
    from w2s_ray.backends.fit.fitted import Fitted
    from w2s_ray.backends.fit.job import Job


def stack_of(model: str, recipe: Recipe, resources: Resources, rows: str, teachers: int) -> Stack | None:
    """The stack of a fit: fits with equal stacks may be computed as one; None for a fit that must be computed alone."""
    plain = not recipe.way.solved and getattr(recipe.loss, "type", "") == "xent" and not recipe.dropout
    plain = plain and recipe.lora.dropout == 0 and recipe.check is None
    if not plain or resources.sharded or resources.fuse is False or resources.activation_checkpointing is True:
        return None
    common = identity(recipe, STACK)
    return Stack(digest([model, common, recipe.features < 1, rows, teachers]), "w2s_ray.ops.train:run_many")


def _slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-{params['recipe']['adapt']}-s{params['recipe'].get('seed', 0)}"


TRAIN = Step("train", 3, "w2s_ray.ops.train:run", _slug)
# Riders of `train`, on the trained model.
EMBED_TRAINED = Step("embed-trained", 2, "", owner_slug)
WEIGHTS = Step("weights", 1, "", owner_slug)  # of the whole model, for another fit to start from


def run(work: Work) -> JSON:
    """Run in this process, or as one of a gang."""
    return in_its_gang(work, _run)


def _run(work: Work) -> JSON:
    """Fit, or load what was fitted before; then serve the riders."""
    from w2s_ray.backends.devices.device import use_threads

    use_threads(work.resources)
    if not _wants_fit(work):
        path, cache = model_path(work), cache_folder() / "tokens"
        return _finish(work, _load(work.store.open(work.call.key).path, path, work, cache))
    return _finish(work, fit_job(_job(work)))


def run_many(works: Sequence[Work]) -> Iterator[JSON | Exception]:
    """Several fits of one group, in one process; each is published as soon as it is fitted. A model that only has to be
    loaded is no fit, and is handled alone."""
    from w2s_ray.backends.devices.device import use_threads
    from w2s_ray.backends.fit.stacked import fit_many

    use_threads(works[0].resources)
    jobs = [caught(_job, work) if _wants_fit(work) else None for work in works]
    fitted = fit_many([job for job in jobs if job is not None and not isinstance(job, Exception)])
    for work, job in zip(works, jobs, strict=True):
        if isinstance(job, Exception):
            yield job
        else:
            yield caught(_run, work) if job is None else caught(_finish_next, work, fitted)


def _finish_next(work: Work, fitted: Iterator[Fitted | Exception]) -> JSON:
    """A function of its own, so that the model is freed before the next one is fitted."""
    made = next(fitted)
    if isinstance(made, Exception):
        raise made
    return _finish(work, made)


def _wants_fit(work: Work) -> bool:
    """Whether to fit: for a new result, or again for a late rider of a fit that kept no weights, which the rider's
    record says."""
    return work.fresh or _refits(work)


def _refits(work: Work) -> bool:
    return not work.fresh and work.store.open(work.call.key).record.value["kept"] == "predictions"


def _job(work: Work) -> Job:
    from w2s_ray.backends.fit.job import Job
    from w2s_ray.backends.fit.probes import FittedProbe

    recipe = restore(Recipe, work.params["recipe"])
    _check_riders(work, recipe)
    data = Dataset.load(work.input("data").path)
    check_start(work, data)
    check = (
        (Dataset.load(work.input("check").path), label_sets(work, "check_labels")) if "check" in work.inputs else None
    )
    path, cache = model_path(work), cache_folder() / "tokens"
    head = FittedProbe.load(work.input("head").path).probe if "head" in work.inputs else None
    labels, place = label_sets(work), work.place
    return Job(data, labels, path, recipe, work.resources, place, cache, work.tell, work.watch, head, check)


def _finish(work: Work, fitted: Fitted) -> JSON:
    """Save the weights if they are kept, publish the riders, write the log. The rider of the whole weights comes last:
    it merges adapters into the model, which is another one then."""
    value = {"refit": _refits(work)}
    seconds = fitted.facts.get("seconds", {})
    began = time.monotonic()
    if work.fresh and work.call.handling.keep:
        fitted.save(work.out)
    saved = time.monotonic()
    for rider in sorted(work.call.riders, key=lambda rider: rider.step == WEIGHTS.name):
        _serve(work, rider, fitted, value)
    seconds |= {"save": saved - began, "predict": time.monotonic() - saved}
    if not work.fresh:
        if work.leads:
            work.place.clear()
        return {}
    _write_log(work.out, fitted)
    stopped = {"stopped_by": supervision(work, "check_labels")} if "check" in work.inputs else {}
    facts = fitted.facts | work.call.launch.facts
    return {"kept": _kept(work), "supervision": supervision(work), **stopped, "facts": facts}


def _check_riders(work: Work, recipe: Recipe) -> None:
    """Refuse what cannot be made of the model before there is one."""
    for rider in work.call.riders:
        if rider.step == WEIGHTS.name:
            check_whole(recipe, work.resources, "no other fit can start from its weights")
            continue
        data = work.rider_input(rider, "data")
        if data.record.value.get("rows") == 0:
            Dataset.load(data.path).check_any()


def _load(folder: Path, model_path: str, work: Work, cache: Path) -> Fitted:
    _check_riders(work, restore(Recipe, work.params["recipe"]))
    if work.resources.sharded:
        from w2s_ray.backends.sharded.fit import load_sharded

        return load_sharded(folder, model_path, work.resources, cache, work.watch)
    from w2s_ray.backends.fit.fitted import load_fitted

    return load_fitted(folder, model_path, work.resources, cache)


def _serve(work: Work, rider: Rider, fitted: Fitted, value: JSON) -> None:
    if rider.step == WEIGHTS.name:
        _serve_weights(work, rider, fitted, value)
        return
    data = Dataset.load(work.rider_input(rider, "data").path)
    if rider.step == PREDICT.name:
        work.put_rider(rider, fitted.predict(data).save, value)
    else:
        work.put_rider(rider, fitted.embed(data, rider.params["layer"]).save, value)


def _serve_weights(work: Work, rider: Rider, fitted: Fitted, value: JSON) -> None:
    """All processes of a gang collect the weights together, whatever is in the store; the one that leads
    publishes them."""
    if not work.resources.sharded:
        work.put_rider(rider, fitted.save_whole, value)
        return
    made = work.place.scratch / f"weights-{work.attempt}"

    def save(folder: Path) -> None:
        shutil.copytree(made, folder, copy_function=shutil.move, dirs_exist_ok=True)

    fitted.save_whole(made)
    work.put_rider(rider, save, value)
    shutil.rmtree(made, ignore_errors=True)


def _kept(work: Work) -> str:
    return ADAPTS[work.params["recipe"]["adapt"]].kept if work.call.handling.keep else "predictions"


def _write_log(folder: Path, fitted: Fitted) -> None:
    """The loss curve, one JSON line a logged step."""
    import json

    lines = "".join(json.dumps(entry) + "\n" for entry in fitted.log)
    (folder / "log.jsonl").write_text(lines, encoding="utf-8")
