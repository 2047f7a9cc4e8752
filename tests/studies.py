"""Tiny studies for tests that need a whole one: rows, a config for any method, a run in this process, and a run that
kills itself."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.config.load import expand
from w2s_ray.core.answers import load_labels
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.store import Store, open_store
from w2s_ray.study.run import collect, run_cells

FIT = {"epochs": 2, "lr": 0.01, "batch": 16, "pooling": "mean"}
ROWS = {"labelled": 48, "pool": 64, "test": 64}


@dataclass(frozen=True)
class Ran:
    """What a study came to, free of times and places."""

    labels: dict[str, str]  # cell -> digest of the labels that the student learned from
    students: dict[str, list[Any]]  # cell -> the student's test predictions
    scores: dict[str, Any]
    executed: list[str]
    reused: int
    gold_supervised: dict[str, bool]


def write_rows(folder: Path, *, flip: tuple[str, ...] = (), num_rows: int = 400) -> Path:
    """Texts whose label shows in their words. `flip` names splits whose gold is turned over (as `splits_of` tells
    them)."""
    from w2s_ray.world.tasks import TASKS

    folder.mkdir(parents=True, exist_ok=True)
    topic = TASKS["topic"]
    rows = [{"text": row["text"], "label": row["label"]} for row in topic.rows(topic.knobs, num_rows, seed=7)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if flip:
        splits = splits_of(folder)
        for row in rows:
            row["label"] = 1 - row["label"] if splits.get(row["text"]) in flip else row["label"]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def splits_of(folder: Path) -> dict[str, str]:
    """text -> split."""
    from w2s_ray.data.prepare import prepare

    study = expand(config("naive"), folder)
    return {
        text: name for name, data in prepare(study.config.task, folder).splits.items() for text in data.inputs["text"]
    }


def config(method: str | dict[str, Any], seeds: tuple[int, ...] = (0,), **more: Any) -> dict[str, Any]:
    """A study of one method in a few seconds."""
    return {
        "name": "tiny", "task": {"data": "file:rows.jsonl", **ROWS}, "models": {"weak": "world/nano",
        "strong": "world/micro"}, "methods": [method],
        "train": {"weak": FIT, "strong": FIT}, "seeds": list(seeds), "gap_se": 0.0, **more,
    }  # fmt: skip


def run(raw: dict[str, Any], folder: Path, store_url: str, executor: Callable[[], Executor] = InlineExecutor) -> Ran:
    """Run a study and look at everything that it made."""
    study = expand(raw, folder)
    with Context(open_store(store_url), executor) as context:
        runs = run_cells(study, context)
        collected = collect(study, context, runs)
        assert collected is not None, runs[0].traceback
        collected.record()
        assert not any(one.error for one in runs), [one.traceback for one in runs if one.error]
        store = context.store
        found = {f"{one.cell.method_label} {one.cell.seed}": one for one in runs}
        labels = {
            name: load_labels(store.open(_key(store, one.keys["labels"])).path).digest for name, one in found.items()
        }
        scores = {name: one.score.value for name, one in found.items() if one.score is not None}
        students = {name: _predictions(store, one) for name, one in found.items()}
        supervised = {name: one.facts["gold_supervised"] for name, one in found.items()}
    return Ran(labels, students, scores, [key.full for key in context.executed], len(context.reused), supervised)


def _key(store: Store, shown: str) -> Any:
    step = shown.partition("/")[0]
    return next(key for key in store.finished(step) if str(key) == shown)


def _predictions(store: Store, one: Any) -> list[Any]:
    import pyarrow.parquet as pq

    table = pq.read_table(store.open(one.score.key).path / "predictions.parquet", filters=[("split", "=", "test")])
    columns = [name for name in table.column_names if name.startswith(("student_p", "student_text"))]
    order = np.argsort(table["id"].to_numpy(zero_copy_only=False).astype(str))
    return [
        table["id"].to_numpy(zero_copy_only=False)[order].tolist(),
        *(table[name].to_numpy()[order].tolist() for name in columns),
    ]


def run_and_die(raw: dict[str, Any], folder: Path, store_url: str, after: bool, notes: Path) -> None:
    """Run a study and be killed at the first publication: just before or just after its record appears. Notes every
    start of a step."""
    from w2s_ray.engine import executor as executor_module

    real_create, real_execute, real_many = Store.create, executor_module.execute, executor_module.execute_many

    def create(self: Store, name: str, data: bytes, **kwargs: bool) -> bool:
        if not name.endswith("record.json"):
            return real_create(self, name, data, **kwargs)
        if after:
            real_create(self, name, data, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        return False

    def note(call: Any) -> None:
        done = open_store(store_url).read(f"{call.key.path}/record.json") is not None
        with open(notes, "a") as file:
            file.write(f"{call.key.full} {done and not call.riders}\n")

    def execute(call: Any) -> None:
        note(call)
        real_execute(call)

    def execute_many(calls: Any) -> Any:
        for call in calls:
            note(call)
        return real_many(calls)

    Store.create = create  # type: ignore[method-assign]
    executor_module.execute, executor_module.execute_many = execute, execute_many
    run(raw, folder, store_url)
