"""`fit.json`: the recipe, the classes and the kind of rows of a saved fit, beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import ModelError
from w2s_ray.core.identity import restore
from w2s_ray.core.kinds import Kind, kind_of

FIT_FILE = "fit.json"


def write_fit_file(folder: Path, recipe: Recipe, classes: tuple[str, ...], kind: Kind) -> None:
    content = {"kind": kind.name, "classes": classes, "recipe": recipe.model_dump(mode="json")}
    (folder / FIT_FILE).write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def read_fit_file(folder: Path) -> tuple[Recipe, tuple[str, ...], Kind]:
    path = folder / FIT_FILE
    if not path.is_file():
        raise ModelError(f"{folder} has no {FIT_FILE}; it is not a saved fit")
    content = json.loads(path.read_text(encoding="utf-8"))
    return restore(Recipe, content["recipe"]), tuple(content["classes"]), kind_of(content["kind"])
