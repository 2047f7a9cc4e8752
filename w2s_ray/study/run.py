"""The runner: all cells of a study at once, each method in a thread of its own; the steps run in the executor.

One cell's failure does not stop the others. Floor and ceiling are trained here, since they need gold; equal ones are
one step for all methods.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from w2s_ray.config.baseline import pairings
from w2s_ray.config.load import Study
from w2s_ray.config.schema import Cell
from w2s_ray.core.errors import InputError, Interrupted, Planned, ResourceError, StepFailed, W2SError
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import CellEvent
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.record import whole
from w2s_ray.eval.diagnose import Diagnosed, submit_diagnose
from w2s_ray.eval.gold import Gold
from w2s_ray.eval.score import COLLECT, SCORE, cell_names
from w2s_ray.eval.summary import ARMS
from w2s_ray.ops.task import Learner, Task
from w2s_ray.ops.verbs import Verbs
from w2s_ray.study.check import check_rows
from w2s_ray.study.setting import Setting, ceiling_learner

CELLS_AT_ONCE = 32  # threads that mostly wait
COLLECTED_AFTER = 50_000  # new objects


@dataclass
class CellRun:
    """How one cell ended."""

    cell: Cell
    score: Handle | None = None
    keys: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)  # identity -> role
    facts: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)  # what is known of the task's rows
    error: str = ""
    traceback: str = ""
    log: str = ""  # the failed step's last lines
    users: bool = False  # an error in the user's input, whose message is enough
    planned: bool = False  # a dry run whose method reads a result that does not exist yet


def run_cells(study: Study, context: Context) -> list[CellRun]:
    """All cells, in the study's order. A mistake in the rows of any task stops the study before anything is trained."""
    setting = Setting(context, study.base, study.gpus)
    for cell, rows in [(cell, setting.prepared(cell)) for cell in study.cells]:
        check_rows(cell, rows.value)
    with (
        _seldom_collected(),
        ThreadPoolExecutor(min(CELLS_AT_ONCE, len(study.cells)), thread_name_prefix="w2s-cell") as pool,
    ):
        futures = [pool.submit(_in_turn, cell, setting) for cell in study.cells]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            context.interrupt()
            raise


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """What thousands of cells make stays until the end, and Python would look through it again and again: a sixth of
    the time of 10,000 cells that are all in the store."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], COLLECTED_AFTER), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def collect(study: Study, context: Context, runs: Sequence[CellRun]) -> Handle | None:
    """The step that makes the tables of all cells that have a score."""
    scored = [run for run in runs if run.score is not None]
    if not scored:
        return None
    handles = tuple(run.score for run in scored if run.score is not None)
    params = {
        "cells": cell_names([run.cell for run in scored]),
        "gap_se": study.config.gap_se,
        "pairings": [pairing._asdict() for pairing in pairings(study.cells, study.config.baseline)],
        "metric": study.config.metric,
    }
    return context.submit(COLLECT, params, {"scores": handles})


def _in_turn(cell: Cell, setting: Setting) -> CellRun:
    with setting.context.turns.mine():
        return _run_cell(cell, setting)


def _run_cell(cell: Cell, setting: Setting) -> CellRun:
    run = CellRun(cell)
    (names,) = cell_names([cell])
    setting.context.tell(CellEvent(names, "running"))
    started = time.perf_counter()
    try:
        task, gold = setting.task(cell)
        run.rows = gold.slices.value["facts"]
        run.models = {task.strong.model.identity: "strong", task.weak.model.identity: "weak"}
        run.score, diagnosed = _score(cell, setting.context, task, gold, run)
        run.score.record()
        run.facts["diagnostics"] = diagnosed.filled()
    except Planned as planned:
        run.error, run.planned, run.score = str(planned), "score" not in run.keys, None
    except Interrupted:
        raise
    except (InputError, ResourceError) as error:
        run.error, run.traceback, run.score, run.users = str(error), traceback.format_exc(), None, True
    except StepFailed as error:
        run.error, run.traceback, run.log, run.score = str(error), error.traceback or str(error), error.log, None
    except W2SError as error:
        run.error, run.traceback, run.score = str(error), str(error), None  # written for people: it is complete
    except Exception as error:  # noqa: BLE001  (a method's own mistake ends its cell, not the study)
        run.error, run.traceback, run.score = f"{type(error).__name__}: {error}", traceback.format_exc(), None
    run.error, run.traceback, run.log = map(whole, (run.error, run.traceback, run.log))
    run.facts["seconds"] = round(time.perf_counter() - started, 3)
    setting.context.tell(CellEvent(names, "failed" if run.error else "done"))
    return run


def _score(cell: Cell, context: Context, task: Task, gold: Gold, run: CellRun) -> tuple[Handle, Diagnosed]:
    """Submit floor and ceiling first, so that they run beside the method, then the method, then the scorer."""
    ctx = Verbs(context, cell.seed, always_on=(task.test,))
    floor = ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool])
    rows, labels = (task.pool, gold.pool) if cell.config.ceiling_on == "pool" else (task.labelled, gold.labelled)
    ceiling = ctx.train(ceiling_learner(task.strong), rows, labels, keep_weights=False)
    outcome = cell.method.run(ctx, task)
    arms = ({"floor": floor} if ctx.covers(floor, task.test) else {}) | {"student": outcome.student, "ceiling": ceiling}
    predictions = {arm: ctx.predict(trained, task.test) for arm, trained in arms.items()}
    inputs = {
        **predictions,
        "gold_test": gold.test,
        "gold_pool": gold.pool,
        "labels": outcome.labels,
        "slices": gold.slices,
    }
    score = context.submit(SCORE, {"gap_se": cell.config.gap_se, "metric": cell.config.metric}, inputs)
    made = {arm: predictions[arm] if isinstance(one, Learner) else one.handle for arm, one in arms.items()}
    run.keys = {arm: str(handle.key) for arm, handle in made.items()} | {
        "labels": str(outcome.labels.key),
        "score": str(score.key),
    }
    run.facts["facts"] = dict(outcome.facts)
    diagnosed = submit_diagnose(context, outcome.diagnostics, gold)
    record = made["student"].record()
    run.facts["gold_supervised"] = cell.method.oracle or "gold" in record.value.get("supervision", ())
    run.facts["placement"] = _placement(record.resources, record.value.get("facts", {}))
    assert set(arms) <= set(ARMS)
    return score, diagnosed


def _placement(resources: dict[str, Any], facts: dict[str, Any]) -> str:
    """Where the student was trained: other placements perturb the last digits."""
    spread = f", {facts['workers']} processes, ZeRO {facts['zero']}" if facts.get("zero") is not None else ""
    return (
        f"{facts.get('device', 'cpu')}, micro_tokens"
        f" {facts.get('micro_tokens', resources.get('micro_tokens', ''))}{spread}"
    )
