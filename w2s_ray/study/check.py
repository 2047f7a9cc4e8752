"""What can be refused before anything is trained: names of models, sources and formats that mean nothing, a metric that
the task does not have, fits that no device holds. Rows are checked when they are prepared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from w2s_ray.backends.devices.memory import num_gpus, settle
from w2s_ray.blocks.losses.contract import Given
from w2s_ray.config.adapt import MEMORY
from w2s_ray.config.load import Study
from w2s_ray.config.recipe import Layer, Recipe
from w2s_ray.config.schema import Cell, Role
from w2s_ray.core.errors import ConfigError, DataError, ModelError, ResourceError
from w2s_ray.core.identity import identity
from w2s_ray.core.kinds import Kind
from w2s_ray.core.resources import GB, Resources
from w2s_ray.data.formats import draws
from w2s_ray.data.label_files import EXTERNAL
from w2s_ray.data.prepare import format_of
from w2s_ray.data.sources import source_identity
from w2s_ray.engine.fingerprint import digest
from w2s_ray.ops.models import identify
from w2s_ray.ops.shapes import config_in_cache, shape_of_name

SHORTEST = 64  # tokens of a longest row that is not known yet


def check_names(study: Study) -> None:
    """Every model, data source and format of every cell, and whether they suit each other; raises the first mistake."""
    _check_files_of_labels(study)
    for model in dict.fromkeys(
        name
        for cell in study.cells
        for name in (cell.config.models.weak, cell.config.models.strong, *cell.method.other_models)
    ):
        identify(model, study.base)
    for model in dict.fromkeys(name for cell in study.cells for name in cell.config.train.by_model):
        try:
            identify(model, study.base)
        except ModelError as error:
            raise ModelError(f"train.by_model: {str(error).removeprefix('models: ')}") from None
    for spec in {cell.config.task.model_dump_json(): cell.config.task for cell in study.cells}.values():
        source_identity(spec.data, study.base)
        try:
            kind = format_of(spec).kind
        except ConfigError as error:
            raise ConfigError(f"task.format: {error}") from None
        if study.config.metric == "auroc" and kind.generated:
            raise ConfigError(
                f"metric is 'auroc', but the answers of {spec.data} are texts, which have no score to put in order; set"
                " metric: accuracy (exact match)"
            )
        for key, apart in (("task.test_data", spec.test_data), ("task.pool_data", spec.pool_data)):
            if apart is not None:
                source_identity(apart, study.base, key=key)
    _check_kinds(study)
    _check_layers(study)


def _check_layers(study: Study) -> None:
    """Refuse a layer that a model does not have, where its shape is known by now."""
    for place, model, layer in dict.fromkeys(wanted for cell in study.cells for wanted in _layers(cell)):
        shape = None if layer == "middle" or model.startswith(EXTERNAL) else shape_of_name(model, study.base)
        if shape is not None and shape.layers and not -shape.layers - 1 <= int(layer) <= shape.layers:
            raise ConfigError(
                f"{place}: layer is {layer}, but {model} has the layers 0 (embeddings) to {shape.layers}; name one of"
                " them, middle, or -1 for the last"
            )


def _layers(cell: Cell) -> Iterator[tuple[str, str, Layer]]:
    """Each layer that is read, with where it is written and the model that must have it."""
    config, method = cell.config, cell.method
    for role, layers in method.layers_read.items():
        yield from ((f"methods {method.label}", getattr(config.models, role), layer) for layer in layers)
    yield "train.weak", config.models.weak, config.recipe("weak").layer
    yield "train.strong", config.models.strong, config.recipe("strong").layer
    for name in method.other_models:
        yield f"methods {method.label}", name, config.train.of(role_of(method, name), name).layer


def _check_kinds(study: Study) -> None:
    """Refuse methods, losses and ways of adapting that make no sense for a task's kind of rows."""
    for cell in study.cells:
        config, method = cell.config, cell.method
        kind, label = format_of(config.task).kind, f"methods {method.label}"
        if kind.name in method.refuses:
            raise ConfigError(f"{label}: rows of kind {kind} do not suit it, for {method.refuses[kind.name]}")
        if method.needs_heldout and not config.task.heldout:
            raise ConfigError(
                f"{label} looks at held-out rows of the labelled half, and task.heldout is 0; set it to a share above"
                " 0, such as 0.1"
            )
        for place, recipe, loss in _fits(cell):
            _check_recipe(kind, place, recipe, str(getattr(loss, "type", "")))
        if method.stopping is not None:
            _check_recipe(kind, label, config.recipe("strong").model_copy(update={"check": method.stopping}), "xent")


def _fits(cell: Cell) -> Iterator[tuple[str, Recipe, Any]]:
    """Where each recipe of a cell is written, and the loss that is used with it."""
    config, method = cell.config, cell.method
    yield "train.weak", config.recipe("weak"), config.recipe("weak").loss
    yield "train.strong", config.recipe("strong"), method.loss or config.recipe("strong").loss
    for name in method.other_models:
        student = role_of(method, name) == "strong"
        recipe = config.train.of(role_of(method, name), name)
        yield f"train.by_model {name}", recipe, (method.loss if student else None) or recipe.loss


def role_of(method: Any, model: str) -> Role:
    """As which a model is finetuned that a method names beside the weak and the strong one."""
    return "strong" if model in method.other_students else "weak"


def _check_recipe(kind: Kind, place: str, recipe: Recipe, loss: str) -> None:
    if recipe.check is not None and recipe.way.solved:
        raise ConfigError(
            f"{place}: check is set with adapt: probe; a probe is solved exactly, so there is nothing to stop early:"
            " use adapt: full or lora, or check: null"
        )
    if not kind.by_words:
        return
    if kind.generated and loss != "xent":
        raise ConfigError(
            f"{place}: loss {loss!r} compares class probabilities, and answers that are generated are texts; leave the"
            " loss out, or use task.format: choice"
        )
    if recipe.way.solved:
        raise ConfigError(
            f"{place}.adapt: probe cannot be used on rows of kind {kind}, which a language model answers by its own"
            " head; use full or lora"
        )
    for name, default in (("features", 1.0), ("layer", -1)):
        if getattr(recipe, name) != default:
            raise ConfigError(
                f"{place}.{name} is {getattr(recipe, name)}, but rows of kind {kind} are answered by a language model's"
                " own head; leave it out"
            )
    if kind.generated and recipe.check is not None and recipe.check.metric != "accuracy":
        raise ConfigError(
            f"{place}: check.metric is {recipe.check.metric}, which needs class probabilities; answers that are"
            " generated have accuracy alone: set check.metric: accuracy, or check: null"
        )


def _check_files_of_labels(study: Study) -> None:
    """Refuse a file of labels anywhere but as the weak teacher."""
    for cell in study.cells:
        models, method = cell.config.models, cell.method
        for key, name in (
            ("models.strong", models.strong),
            *((f"methods {method.label}", name) for name in method.other_students),
        ):
            if EXTERNAL in name:
                raise ConfigError(
                    f"{key}: {name!r} is a file of labels, which no rows can teach; it can stand for models.weak alone"
                )
        if models.weak.startswith(EXTERNAL) and draws(format_of(cell.config.task)):
            raise ConfigError(
                f"models.weak: {models.weak!r} cannot say whether the answer that a row shows is right, for"
                f" task.format: {getattr(format_of(cell.config.task), 'type', '')} draws which one it shows; write rows"
                " with one answer each to a file of their own, label those and read them with task.format: text, or"
                " use task.format: choice"
            )
        if method.trains_teachers and models.weak.startswith(EXTERNAL):
            raise ConfigError(
                f"methods {method.label} trains several teachers, and models.weak is a file of labels; combine several"
                " files with model_mix and its models:"
            )


def check_rows(cell: Cell, prepared: Mapping[str, Any]) -> None:
    """Refuse what the rows of a task, once they are prepared, do not allow: a metric that needs classes which the test
    rows lack, a loss that is not defined for so many."""
    shares = prepared["facts"]["class_shares"]["test"]
    absent = [name for name, share in shares.items() if not share]
    if cell.config.metric == "auroc" and absent:
        number = prepared["facts"]["sizes"]["test"]
        raise DataError(
            f"metric: auroc needs test rows of every class; of the {number} none has {', '.join(map(repr, absent))};"
            " set metric: accuracy, or give more test rows"
        )
    for place, recipe, loss in _fits(cell):
        if shares and not recipe.way.solved:
            try:
                loss.build(Given.of_classes(len(shares)))
            except ConfigError as error:
                raise ConfigError(f"methods {cell.method.label}, {place}: {error}") from None


def check_memory(study: Study) -> None:
    """Refuse a fit that its devices cannot hold, where the request says what they hold. The workers check again, with
    their devices and rows."""
    for role, model, recipe, resources in placements(study):
        shape = shape_of_name(model, study.base)
        room = resources.gpu_gb if resources.num_gpus else resources.memory_gb
        if not room or shape is None or recipe.way.solved or resources.gpus == "auto":
            continue
        try:
            settle(shape, recipe, resources, resources.fewest, room * GB, SHORTEST, gpu=bool(resources.num_gpus))
        except ResourceError as error:
            raise ResourceError(f"resources.{role}: {error}") from None


def placements(study: Study) -> Iterator[tuple[Role, str, Recipe, Resources]]:
    """Every model that is trained, once for each role and each recipe that needs other memory."""
    seen: set[tuple[object, ...]] = set()
    for cell in study.cells:
        config, method = cell.config, cell.method
        others: list[tuple[Role, str]] = [(role_of(method, name), name) for name in method.other_models]
        for role, model in [("weak", config.models.weak), *others, ("strong", config.models.strong)]:
            recipe, resources = config.train.of(role, model), config.resources.of(role, study.gpus)
            key = (role, model, digest(identity(recipe, MEMORY)), resources)
            if key not in seen and not model.startswith(EXTERNAL):
                seen.add(key)
                yield role, model, recipe, resources


def check_machine(study: Study) -> None:
    """Refuse what this machine alone cannot do, before a Ray is started on it."""
    for problem in missing_here(study):
        raise problem


def missing_here(study: Study) -> Iterator[ResourceError | ModelError]:
    """What this machine does not have: devices, models of the hub while nothing can be fetched."""
    for role, model, recipe, resources in placements(study):
        if recipe.way.solved:
            continue  # solved in one process
        cpus, gpus = resources.cpus * resources.fewest, resources.num_gpus * resources.fewest
        lacking = [f"{cpus:g} CPU (this machine has {os.cpu_count()})"] if cpus > (os.cpu_count() or 1) else []
        if gpus and gpus > (have := num_gpus()):
            lacking.append(f"{gpus:g} GPU (this machine has {have})")
        if lacking:
            yield ResourceError(
                f"resources.{role}: {model} asks for {' and '.join(lacking)}; lower `resources`, or give a larger"
                " cluster with --address"
            )
    for model in dict.fromkeys(model for _, model, *_ in placements(study)):
        if not_to_be_had(model):
            repo, _, commit = model.removeprefix("hub:").partition("@")
            yield ModelError(
                f"models: {model!r} is not in this machine's cache, and HF_HUB_OFFLINE is set; unset it, or fetch the"
                f" model once: hf download {repo} --revision {commit}"
            )


def not_to_be_had(model: str) -> bool:
    """Whether a model of the hub is not in the cache, and nothing can be fetched."""
    from huggingface_hub import constants

    return model.startswith("hub:") and bool(constants.HF_HUB_OFFLINE) and config_in_cache(model) is None
