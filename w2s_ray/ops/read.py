"""The `read` step: continued pretraining of a model on a task's texts, without their labels (Burns et al. 2023, arXiv
2312.09390, § 5.2.2: generative supervision)."""

from __future__ import annotations

import time

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError
from w2s_ray.core.identity import restore
from w2s_ray.core.ids import content_id
from w2s_ray.core.kinds import GENERATION, texts_to_read
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import Artifact, cache_folder
from w2s_ray.ops.fitting import check_whole, fit_job, in_its_gang
from w2s_ray.ops.models import model_path


def _slug(params: Params, inputs: Inputs) -> str:
    return f"{str(params['model']).split('@')[0]}-s{params['recipe']['seed']}"


READ = Step("read", 1, "w2s_ray.ops.read:run", _slug)


def run(work: Work) -> JSON:
    """Run in this process, or as one of a gang."""
    return in_its_gang(work, _run)


def _run(work: Work) -> JSON:
    from w2s_ray.backends.devices.device import use_threads
    from w2s_ray.backends.fit.job import Job

    use_threads(work.resources)
    recipe = restore(Recipe, work.params["recipe"])
    check_whole(recipe, work.resources, "the model cannot read the task's texts first")
    given = work.inputs["data"]
    parts = [Dataset.load(one.path) for one in ((given,) if isinstance(given, Artifact) else given)]
    data = texts_of(parts)
    if not len(data):
        named = ", ".join(f"{part.name} {part.split}" for part in parts)
        raise DataError(f"the rows to read hold no text ({named or 'none is named'}); give at least one row")
    cache = cache_folder() / "tokens"
    job = Job(data, (), model_path(work), recipe, work.resources, work.place, cache, work.tell, work.watch)
    fitted = fit_job(job)
    began = time.monotonic()
    fitted.save_whole(work.out)
    fitted.facts["seconds"]["save"] = time.monotonic() - began
    return {"kept": "model", "rows": len(data), "facts": fitted.facts | work.call.launch.facts}


def texts_of(parts: list[Dataset]) -> Dataset:
    """The distinct texts of rows, as rows."""
    texts = list(dict.fromkeys(text for part in parts for text in texts_to_read(part.kind, part.inputs)))
    return Dataset.of("texts", "read", GENERATION, (), [content_id(text) for text in texts], prompt=texts)
