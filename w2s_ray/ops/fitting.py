"""Shared by the steps that fit: their processes, their labels, and who supervised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.answers import Answers, load_labels
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON
from w2s_ray.engine.store import Artifact

if TYPE_CHECKING:
    from w2s_ray.backends.fit.fitted import Fitted
    from w2s_ray.backends.fit.job import Job

P = ParamSpec("P")
T = TypeVar("T")


def in_its_gang(work: Work, run: Callable[[Work], JSON]) -> JSON:
    """Run in this process, or as one of a gang, where the loss of another process becomes PeerLost."""
    if not work.resources.sharded:
        return run(work)
    from w2s_ray.backends.devices.gang import lost_peers

    with lost_peers():
        return run(work)


def fit_job(job: Job) -> Fitted:
    """Fit in this process, or together with the others of its gang."""
    from w2s_ray.backends.fit.single import fit

    if job.resources.sharded:
        from w2s_ray.backends.sharded.fit import fit_sharded

        return fit_sharded(job)
    return fit(job)


def label_sets(work: Work, name: str = "labels") -> list[LabelSet | Answers]:
    """The labels of one teacher or of several."""
    labels = work.inputs[name]
    return [load_labels(one.path) for one in ((labels,) if isinstance(labels, Artifact) else labels)]


def supervision(work: Work, name: str = "labels") -> list[str]:
    """Who supervised: `gold`, or the keys of the labels."""
    labels = work.inputs[name]
    return [
        "gold" if one.key.step == "gold" else one.key.full
        for one in ((labels,) if isinstance(labels, Artifact) else labels)
    ]


def caught(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """A function's result, or the error that it raised."""
    try:
        return make(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  (one member's; the others go on, and the engine records it)
        return error


def check_start(work: Work, data: Dataset) -> None:
    """Refuse to ask for words where the weights that a step starts from were saved with a head for classes instead."""
    if "base" not in work.inputs or not data.kind.by_words:
        return
    from w2s_ray.backends.fit.fit_file import read_fit_file

    _, _, kind = read_fit_file(work.input("base").path)
    if not kind.by_words:
        raise ConfigError(
            f"rows of kind {data.kind} are answered by a language model's own head, and the model to start from was"
            f" finetuned to rows of kind {kind}, without one; start from a model of rows that are answered by words"
        )


def check_whole(recipe: Recipe, resources: Resources, so: str) -> None:
    """Refuse ways of adapting that leave no whole model for others to start from; `so`: what cannot be then."""
    if recipe.way.solved:
        how = "adapt: probe changes no weight"
    elif recipe.way.adapters and resources.sharded:
        how = "adapters that are spread over processes cannot be merged into the model"
    else:
        return
    raise ConfigError(f"train: {how}, so {so}; use adapt: full, or lora in one process")
