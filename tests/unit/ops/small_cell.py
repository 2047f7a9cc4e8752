"""One cell's verbs and rows, as a method gets them, without a study around: small models, a few dozen rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from w2s_ray.config.recipe import Recipe
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.store import open_store
from w2s_ray.ops.contents import put
from w2s_ray.ops.models import identify
from w2s_ray.ops.prepare import submit_prepare
from w2s_ray.ops.task import Learner, Task, Trained
from w2s_ray.ops.verbs import Verbs

SOURCES: dict[str, dict[str, Any]] = {
    "text": {"data": "world:topic"},
    "five": {"data": "world:topic5"},
    "preference": {"data": "world:pref"},
    "choice": {"data": "world:qa", "format": "choice"},
    "generation": {"data": "world:qa", "format": "question"},
}
SIZES = {"labelled": 32, "pool": 28, "test": 20, "heldout": 0.25}
LABELLED, HELDOUT = 24, 8  # of them
RECIPE = Recipe(lr=0.01, epochs=2, batch=8, pooling="mean", answer_tokens=2)


@dataclass(frozen=True)
class Cell:
    """What a method gets, and the run behind it."""

    context: Context
    ctx: Verbs
    task: Task
    prepared: Handle
    gold: Mapping[str, Handle]

    def seeded(self, seed: int, *always_on: Handle) -> Verbs:
        """The verbs of the same cell with another seed: none of its fits has been made yet."""
        return Verbs(self.context, seed, always_on)

    def rows(self, handle: Handle) -> Dataset:
        return Dataset.load(handle.artifact().path)

    def labels(self, handle: Handle) -> LabelSet:
        return LabelSet.load(handle.artifact().path)

    def put(self, content: Dataset | LabelSet | Answers) -> Handle:
        return put(self.context, content)

    def fit(self, **how: Any) -> Trained:
        """The weak model on the labelled rows, or what `how` says instead: the learner, rows, labels, seed, …"""
        ctx = self.seeded(how.pop("seed", self.ctx.seed))
        learner = how.pop("learner", self.task.weak)
        return ctx.train(learner, how.pop("rows", self.task.labelled), how.pop("labels", self.task.labels), **how)


@contextmanager
def opened(
    folder: Path,
    kind: str = "text",
    *,
    dry: bool = False,
    executor: Callable[[], Executor] = InlineExecutor,
    **more: Any,
) -> Iterator[Cell]:
    """A cell whose store is in a folder; once more on the same folder is a later run. `dry`: as `w2s plan`, which
    computes nothing, so that keys alone can be looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    store = replace(open_store(str(folder / "store")), _records={}, _verified={})  # as a new process has it
    with Context(store, executor, dry=dry) as context:
        prepared = submit_prepare(context, TaskSpec(**SOURCES[kind] | SIZES | more), folder)
        rows, gold = (
            {split: context.adopt(Key.parse(key), prepared) for split, key in prepared.value[part].items()}
            for part in ("splits", "gold")
        )
        weak, strong = (Learner(identify(f"world/{name}", folder), RECIPE) for name in ("nano", "micro"))
        task = Task(
            weak, strong, rows["labelled"], gold["labelled"], rows["pool"], rows["test"],
            len(rows["pool"].value["classes"]), rows.get("heldout"), gold.get("heldout"),
        )  # fmt: skip
        yield Cell(context, Verbs(context, seed=0), task, prepared, gold)


def one_line(error: BaseException) -> str:
    """What the user reads of a refusal."""
    said = str(error)
    assert "\n" not in said
    return said
