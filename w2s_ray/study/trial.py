"""One trial of a search: the study's cells at one point, seed after seed, and the values of the objectives. Runs in a
process of Ray Tune's.

Of gold it reads only what `select_on` allows: the labelled half's held-out rows, or none; with `gold`, the test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from w2s_ray.config.load import Study, at_point, expand
from w2s_ray.config.schema import Cell
from w2s_ray.config.search_spec import Objective, Point, SearchSpec, SelectOn
from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import FitError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.metrics import score
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import Executor
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.store import open_store
from w2s_ray.eval.gold import Gold
from w2s_ray.ops.task import Learner, Task, Trained
from w2s_ray.ops.verbs import Verbs
from w2s_ray.study.setting import Setting

Report = Callable[[int, Sequence[float], dict[str, Any]], None]


@dataclass(frozen=True)
class Trials:
    """What all trials of a search have in common."""

    raw: dict[str, Any]  # the study without its search
    base: str
    spec: SearchSpec
    seeds: tuple[int, ...]
    store: str
    gpus: int = 0  # of the machine, for `gpus: auto`


def run_trial(trials: Trials, point: Point, report: Report, executor: Callable[[], Executor]) -> None:
    """Report the mean of each objective over the cells of the first seed, of the first two, and so on."""
    study = study_at(trials, point)
    values: list[list[float]] = []
    keys: list[dict[str, str]] = []
    with Context(open_store(trials.store), executor) as context:
        setting = Setting(context, study.base, trials.gpus)
        for step, seed in enumerate(trials.seeds, start=1):
            for cell in cells_of(study, seed):
                found, made = _judge(cell, setting, trials.spec)
                values.append(found)
                keys.append(made)
            report(step, [fmean(column) for column in zip(*values, strict=True)], {"keys": list(keys)})


def study_at(trials: Trials, point: Point) -> Study:
    """The study with the point's values and the search's seeds."""
    return expand(at_point(trials.raw, point) | {"seeds": list(trials.seeds)}, Path(trials.base))


def cells_of(study: Study, seed: int) -> list[Cell]:
    """The cells of a seed, one for each grid point. Only the first method is used: a search is of one method, or of the
    weak model, for which methods do not matter."""
    return [cell for cell in study.cells if cell.seed == seed and cell.method is cell.config.methods[0]]


def _judge(cell: Cell, setting: Setting, spec: SearchSpec) -> tuple[list[float], dict[str, str]]:
    """Each objective's value for one cell, and the keys of the models that they are about."""
    task, gold = setting.task(cell)
    rows, truth = _judged_on(task, gold, spec.select_on)
    # What a study predicts is predicted too, so that a study at the best point need not fit its models again.
    ctx = Verbs(setting.context, cell.seed, always_on=tuple(dict.fromkeys((task.test, rows))))
    trained: dict[str, Trained | Learner] = {
        "weak": ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool])
    }
    if not spec.of_weak_alone:
        trained["student"] = cell.method.run(ctx, task).student
    predicted = {name: ctx.predict(model, rows) for name, model in trained.items()}
    made = {name: predicted[name] if isinstance(one, Learner) else one.handle for name, one in trained.items()}
    said = {name: ctx.outputs(handle) for name, handle in predicted.items()}
    known = said["weak"] if truth is None else ctx.outputs(truth)
    values = [_value(objective, made[objective.of], said[objective.of], known) for objective in spec.objective]
    return values, {name: str(handle.key) for name, handle in made.items()}


def _judged_on(task: Task, gold: Gold, select_on: SelectOn) -> tuple[Handle, Handle | None]:
    """The rows to judge by, and their gold where `select_on` allows it."""
    if select_on == "gold":
        return task.test, gold.test
    rows, truth = (task.heldout, task.heldout_labels) if select_on == "heldout" else (task.pool_heldout, None)
    assert rows is not None, "checked with the config"
    return rows, truth


def _value(objective: Objective, model: Handle, said: LabelSet | Answers, known: LabelSet | Answers) -> float:
    if objective.metric == "seconds":
        return model.record().seconds
    found = score(said, known)
    if found[objective.metric] is None:
        raise FitError(f"{objective.label} is not defined here: {found['reasons'][objective.metric]}")
    return float(found[objective.metric])
