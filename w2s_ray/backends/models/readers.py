"""Which class of models reads which kind of rows."""

from __future__ import annotations

from contextlib import nullcontext

from w2s_ray.backends.devices.device import Autocast
from w2s_ray.backends.models.answerer import Answerer, build_answerer
from w2s_ray.backends.models.classifier import Classifier, build_classifier
from w2s_ray.blocks.linear import Probe
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.kinds import Kind

Reader = Classifier | Answerer


def build_reader(
    model_path: str, recipe: Recipe, kind: Kind, num_classes: int, autocast: Autocast = nullcontext, *,
    teachers: int = 1, head: Probe | None = None, ask_causal: bool = True,
) -> Reader:  # fmt: skip
    """The model that a recipe starts from; all of it a function of the recipe's seed."""
    if kind.by_words:
        if head is not None:
            raise ConfigError(
                f"a head is to start as a probe, but rows of kind {kind} are read by the language model's own head; use"
                " a task with classes"
            )
        return build_answerer(
            model_path, recipe, kind, num_classes if kind.placed else teachers, autocast, ask_causal=ask_causal
        )
    return build_classifier(model_path, recipe, num_classes, autocast, kind=kind, head=head, ask_causal=ask_causal)
