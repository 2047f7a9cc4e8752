"""Warnings of settings that are valid and probably not intended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.core.plugins import closest
from w2s_ray.ops.models import num_parameters
from w2s_ray.reports.wording import SELECTED


def warnings_of(study: Study) -> Iterator[str]:
    """One sentence for each warning."""
    yield from _of_models(study)
    yield from _of_recipes(study)
    if len(study.config.seeds) < 3:
        yield f"seeds: {list(study.config.seeds)} gives intervals that say little; three or more are better"


def warnings_of_search(study: Study) -> Iterator[str]:
    """The same for a search, which makes no table with intervals."""
    yield from _of_models(study)
    yield from _of_recipes(study)
    if study.config.tune and study.config.tune.select_on == "gold":
        yield f"tune.select_on: gold; all that comes of it is marked as an {SELECTED['gold']}"
    if study.config.tuned and study.config.tuned.select_on == "gold":
        yield (
            "tuned: the recipe that this search starts from was selected on gold labels of the test rows, so what comes"
            " of it keeps that mark"
        )


def _of_recipes(study: Study) -> Iterator[str]:
    """Fields that the grid or the search varies, but that `by_model` sets for the model in that role, so that they do
    not vary."""
    space = study.config.tune.space if study.config.tune else {}
    varied = study.config.grid | {key: drawn.choice or () for key, drawn in space.items()}
    for role, field in dict.fromkeys(f for key, values in varied.items() for f in _fields(key, values)):
        models = dict.fromkeys(getattr(cell.config.models, role) for cell in study.cells)
        for model in models:
            said = study.config.train.by_model.get(model)
            if said is not None and field.partition(".")[0] in said.model_fields_set:
                yield (
                    f"train.{role}.{field} varies, but train.by_model sets {field} of {model}, which stands; drop one"
                    " of them"
                )


def _fields(key: str, values: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Role and field of what a dotted key sets: itself a field, or with mappings as values a role's recipe or both."""
    part, _, rest = key.partition(".")
    role, _, field = rest.partition(".")
    if part != "train" or role not in ("", "weak", "strong"):
        return
    if field:
        yield role, field
        return
    for value in values:
        recipes = {role: value} if role else value
        for name, recipe in recipes.items() if isinstance(recipes, dict) else ():
            if name in ("weak", "strong") and isinstance(recipe, dict):
                yield from ((name, str(inner)) for inner in recipe)


def _of_models(study: Study) -> Iterator[str]:
    used = {
        name
        for cell in study.cells
        for name in (cell.config.models.weak, cell.config.models.strong, *cell.method.other_models)
    }
    for name in dict.fromkeys(name for cell in study.cells for name in cell.config.train.by_model if name not in used):
        yield f"train.by_model: no cell trains {name!r}{closest(name, used)}, so its fields change nothing"
    pairs = dict.fromkeys((cell.config.models.weak, cell.config.models.strong) for cell in study.cells)
    for weak, strong in pairs:
        sizes = num_parameters(weak, study.base), num_parameters(strong, study.base)
        if None not in sizes and sizes[0] > sizes[1]:  # type: ignore[operator]  # None was excluded
            yield (
                f"models: weak {weak} ({sizes[0]:,} parameters) is larger than strong {strong} ({sizes[1]:,}); is that"
                " meant?"
            )
    ladders = {
        (cell.config.models.weak, *cell.method.other_students, cell.config.models.strong): cell.method
        for cell in study.cells
        if cell.method.other_students
    }
    for (weak, *students, strong), method in ladders.items():
        known = [
            (name, size) for name in (weak, *students, strong) if (size := num_parameters(name, study.base)) is not None
        ]
        for (smaller, size), (larger, next_size) in pairwise(known):
            if size >= next_size:
                yield (
                    f"methods {method.label}: {larger} ({next_size:,} parameters) is taught by {smaller} ({size:,}),"
                    " which is not smaller; is that meant?"
                )
    for data, model in dict.fromkeys(
        (cell.config.task.data, name)
        for cell in study.cells
        for name in (cell.config.models.weak, cell.config.models.strong)
    ):
        if model.startswith("world/") and not data.startswith("world:"):
            yield (
                f"models: {model} knows the words of the built-in world alone; on {data} it sees little but unknown"
                " tokens"
            )
