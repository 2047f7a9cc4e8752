"""What went in: rows and recipes."""

from __future__ import annotations

import json
from typing import Any

from w2s_ray.reports.document import Paragraph, Section, Table
from w2s_ray.reports.schema import Fitted, Results, Split
from w2s_ray.reports.wording import NOTHING

MOST_CLASSES = 6  # whose shares are shown


def setup_section(results: Results) -> Section | None:
    """The halves of each task, and each model with its recipe; nothing for results that do not know."""
    if not results.tasks and not results.fitted:
        return None
    tasks = tuple(
        (task.task, split, f"{rows.rows:,}", _shares(rows))
        for task in results.tasks
        for split, rows in task.splits.items()
    )
    fitted = tuple((one.role, one.model, _parameters(one), _recipe(one.recipe)) for one in results.fitted)
    note = (
        "The weak model is trained on the labelled rows, the student on the pool's; both are scored on the test rows."
        " Recipes: the chief fields, and what differs from the defaults; all of it is in `config.resolved.yaml`."
    )
    return Section(
        "Rows and recipes",
        (
            Table(("task", "rows", "how many", "class shares"), tasks, 2),
            Table(("role", "model", "parameters", "recipe"), fitted, 4),
            Paragraph(note),
        ),
    )


def _shares(split: Split) -> str:
    shown = [f"{name} {100 * share:.1f} %" for name, share in split.shares.items()]
    more = len(shown) - MOST_CLASSES
    return ", ".join(shown[:MOST_CLASSES]) + (f" and {more} more" if more > 0 else "") or NOTHING


def _parameters(fitted: Fitted) -> str:
    return NOTHING if fitted.parameters is None else f"{fitted.parameters:,}"


def _recipe(recipe: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {_value(value)}" for name, value in recipe.items())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and set(value) == {"type"}:
        return str(value["type"])
    return value if isinstance(value, str) else json.dumps(value)
