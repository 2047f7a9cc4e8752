"""Which model reads rows of which kind."""

from __future__ import annotations

from contextlib import nullcontext

from w2s_ray.backends.answerer import Answerer, build_answerer
from w2s_ray.backends.classifier import Classifier, build_classifier
from w2s_ray.backends.devices import Autocast
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Kind

Reader = Classifier | Answerer

SAID: tuple[Kind, ...] = ("choice", "generation")  # by the language model's own words


def build_reader(
    model_path: str, recipe: Recipe, kind: Kind, num_classes: int, autocast: Autocast = nullcontext, *, teachers: int = 1, ask_causal: bool = True
) -> Reader:
    """The model that a recipe starts from; all of it a function of the recipe's seed."""
    if kind in SAID:
        return build_answerer(model_path, recipe, kind, num_classes if kind == "choice" else teachers, autocast, ask_causal=ask_causal)
    return build_classifier(model_path, recipe, num_classes, autocast, kind=kind, ask_causal=ask_causal)
