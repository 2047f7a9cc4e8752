"""What a cell needs before its method can run: rows, models, learners. Shared between cells, made once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Cell, Role
from w2s_ray.core.models import ModelRef
from w2s_ray.engine.context import Context
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import Handle
from w2s_ray.eval.gold import Gold
from w2s_ray.ops.models import identify
from w2s_ray.ops.prepare import submit_prepare
from w2s_ray.ops.task import Learner, Oracle, Task

ROLES: tuple[Role, ...] = ("weak", "strong")


@dataclass
class Setting:
    """Rows and models of a study's cells, by their names in the YAML."""

    context: Context
    base: Path
    gpus: int | None = None  # of this machine, where it runs here
    _made: dict[Any, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def model(self, name: str) -> ModelRef:
        found: ModelRef = self._once(name, lambda: identify(name, self.base))
        return found

    def prepared(self, cell: Cell) -> Handle:
        """The step that splits the cell's rows."""
        spec = cell.config.task
        found: Handle = self._once(spec.model_dump_json(), lambda: submit_prepare(self.context, spec, self.base))
        return found

    def task(self, cell: Cell) -> tuple[Task, Gold]:
        """The `Task` that the method gets, and the `Gold` that it does not."""
        prepared = self.prepared(cell)
        value = prepared.value  # small and inline: waits for the rows alone
        rows = {split: self.context.adopt(Key.parse(key), prepared) for split, key in value["splits"].items()}
        gold = {split: self.context.adopt(Key.parse(key), prepared) for split, key in value["gold"].items()}
        config, placed = cell.config, cell.config.resources
        weak = Learner(self.model(config.models.weak), config.recipe("weak"), placed.of("weak", self.gpus))
        strong = Learner(self.model(config.models.strong), config.recipe("strong"), placed.of("strong", self.gpus))
        num_classes = len(rows["pool"].value["classes"])
        models = {name: self.model(name) for name in cell.method.other_models}
        recipes: dict[tuple[str, str], Recipe] = {
            (role, name): config.train.of(role, name) for role in ROLES for name in models
        }
        heldout = rows.get("heldout"), gold.get("heldout"), rows.get("pool_heldout")
        oracle = Oracle(gold["pool"], gold["test"]) if cell.method.oracle else None
        task = Task(
            weak,
            strong,
            rows["labelled"],
            gold["labelled"],
            rows["pool"],
            rows["test"],
            num_classes,
            *heldout,
            models,
            recipes,
            oracle,
        )
        return task, Gold(gold["labelled"], gold["pool"], gold["test"], prepared, gold.get("heldout"))

    def _once(self, name: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]


def ceiling_learner(strong: Learner) -> Learner:
    """The strong model for gold labels: always plain cross-entropy, since the other losses are made for labels with
    errors."""
    return strong.with_recipe(loss=Recipe().loss)
