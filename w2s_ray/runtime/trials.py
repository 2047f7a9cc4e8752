"""A search for the best point of a space, as one experiment of Ray Tune: Optuna suggests, each trial runs in a process
of Tune's and reads and writes the store.

Optuna's journal is all that a search remembers: a search that died is begun again, and first takes up the points that
had been suggested and not judged. Ray's own `OptunaSearch` leaves a trial without a finite value running for ever and
takes one that was stopped for a finished one (ray 2.60, optuna 5); this one tells.
"""

from __future__ import annotations

import importlib
import math
import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune import FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig, Tuner, register_trainable
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from w2s_ray.core.errors import ResourceError
from w2s_ray.core.resources import GB, Resources
from w2s_ray.engine.execute import new_attempt
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.store import cache_folder
from w2s_ray.runtime import cluster, nodes
from w2s_ray.runtime.demand import lacking, of_process, request, room, totals
from w2s_ray.runtime.head import HeadWatch
from w2s_ray.runtime.members import SETTINGS
from w2s_ray.runtime.output import captured

WORST = 1e30  # finite, for Ray's schedulers compute percentiles of it
DRIVER_GB = (
    1.0  # a trial that launches gangs: a process without a device of its own, which Tune must be asked for by something
)
VALUES, STEP, FACTS, ERROR = "values", "step", "facts", "error"  # of a trial's reports

Report = Callable[[int, Sequence[float], dict[str, Any]], None]
Told = Callable[[Any], None]  # with Optuna's frozen trial, when it has ended


@dataclass(eq=False)
class Search:
    """What is searched, and how."""

    study: optuna.Study
    space: Callable[[Any], dict[str, Any]]  # Optuna's trial -> point
    sampler: Callable[[int], optuna.samplers.BaseSampler]  # of the trial with this number
    trial: str  # "package.module:function", called with the payload, the point, a report and what makes an executor
    payload: Any
    steps: int  # reports of a whole trial
    trials: int
    demand: Resources  # of one trial
    roles: tuple[Resources, ...]  # what runs in a trial, one after the other
    told: Told
    until: float = math.inf  # of time.monotonic(): no trial begins later
    concurrency: int = 0  # 0: as many as the devices hold
    reduction: float = 0.0  # of successive halving; 0: none
    name: str = field(default_factory=lambda: f"search-{new_attempt()}")
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def nested(self) -> bool:
        """Whether trials launch gangs instead of computing themselves."""
        return self.demand.sharded


def run_search(search: Search, target: cluster.Target) -> None:
    """Until so many trials have ended, or the time is up. Ray is started at the first trial; blocks, in the thread that
    then owns Ray."""
    local = cluster.join(target)
    head = None if local else HeadWatch(lambda error: None)
    try:
        nodes.check(search.payload.store)
        concurrency = _concurrency(search, waits=target.autoscale and not local)
        name = f"w2s-{search.name}"
        experiment = threading.Thread(target=_experiment, args=(search, concurrency), name=name, daemon=True)
        errors: list[BaseException] = []
        _searches[search.name] = (search, errors)
        experiment.start()
        while experiment.is_alive():
            experiment.join(timeout=0.5)
            if head is not None and head.error is not None:
                raise head.error
            if search.stopped.is_set():
                return  # what is asked of Ray after its end would take the process with it, which ends it anyway
        if errors:
            raise errors[0]
    finally:
        if head is not None:
            head.close()
        if not search.stopped.is_set() and (head is None or head.error is None):
            ray.shutdown()
            _searches.pop(search.name, None)


def _concurrency(search: Search, *, waits: bool) -> int:
    """Trials at once: Tune does not see what the gangs of a trial hold, so it must be counted."""
    living = cluster.nodes()
    if not waits and (short := [each for role in search.roles for each in lacking(role, living)]):
        raise ResourceError(
            f"a trial asks for {' and '.join(short)}; lower `resources`, or give a larger cluster with --address"
        )
    have = totals(living, search.roles)
    fit = max(1, min(room(role, have) // role.fewest for role in search.roles))
    return min(search.concurrency or fit, fit)


def _experiment(search: Search, concurrency: int) -> None:
    folder = cache_folder() / "ray-tune"
    os.environ.update(SETTINGS)
    metric, mode = _metric(search.study)
    scheduler: Any = FIFOScheduler()
    if search.reduction:
        scheduler = AsyncHyperBandScheduler(
            metric=metric, mode=mode, max_t=search.steps, grace_period=1, reduction_factor=search.reduction
        )
    suggestions = _Suggestions(search, concurrency, metric, mode)
    try:
        register_trainable(search.name, tune.with_resources(_trainable(), _request(search)), warn=False)
        Tuner(
            search.name,
            tune_config=TuneConfig(
                search_alg=suggestions,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                name=search.name,
                storage_path=str(folder),
                verbose=0,
                failure_config=FailureConfig(max_failures=search.demand.retries),
                callbacks=[_Quiet()],
            ),
        ).fit()
    except Exception as error:  # noqa: BLE001  (the thread that waits raises it)
        _searches[search.name][1].append(error)
    shutil.rmtree(folder / search.name, ignore_errors=True)


def _request(search: Search) -> PlacementGroupFactory:
    if search.nested:
        return request({"CPU": 0, "memory": DRIVER_GB * GB}, {})
    return request(of_process(search.demand), search.demand.labels)


def _metric(study: optuna.Study) -> tuple[Any, Any]:
    """As Ray Tune names them: one of each, or lists."""
    modes = ["max" if direction == optuna.study.StudyDirection.MAXIMIZE else "min" for direction in study.directions]
    metrics = [f"value_{n}" for n in range(len(modes))]
    return (metrics, modes) if len(modes) > 1 else (metrics[0], modes[0])


@dataclass(frozen=True)
class _Call:
    """What a trial's process gets."""

    trial: str
    payload: Any
    point: dict[str, Any]
    nested: bool
    worst: tuple[float, ...]  # what a scheduler compares a failed trial by


_searches: dict[str, tuple[Search, list[BaseException]]] = {}


def _trainable() -> Callable[[dict[str, Any]], None]:
    def trial(config: dict[str, Any]) -> None:  # one of its own, for Tune writes the request on it
        _run_trial(config)

    return trial


def _run_trial(config: dict[str, Any]) -> None:
    """In a process of Tune's. A mistake of the trial's own is a result, so that Tune does not try it again."""
    call: _Call = config["call"]
    module, _, name = call.trial.partition(":")
    run = getattr(importlib.import_module(module), name)

    def executor() -> Executor:
        if not call.nested:
            return InlineExecutor()
        from w2s_ray.runtime.executor import RayExecutor

        return RayExecutor(call.payload.store, joined=True)

    def report(step: int, values: Sequence[float], facts: dict[str, Any]) -> None:
        tune.report(
            {f"value_{n}": value for n, value in enumerate(values)} | {VALUES: list(values), STEP: step, FACTS: facts}
        )

    with captured():
        try:
            run(call.payload, call.point, report, executor)
        except Exception as error:  # noqa: BLE001  (Optuna is told)
            line = f"{type(error).__name__}: {' '.join(str(error).split())}"
            tune.report(
                {f"value_{n}": value for n, value in enumerate(call.worst)}
                | {VALUES: [], STEP: 0, FACTS: {}, ERROR: line}
            )


class _Suggestions(OptunaSearch):
    """Ray's search by Optuna, which takes up what a dead driver left, and tells how trials ended."""

    def __init__(self, search: Search, concurrency: int, metric: Any, mode: Any) -> None:
        self._name, self._concurrency = search.name, concurrency
        study = search.study
        # OptunaSearch opens the study of this name in this storage again.
        super().__init__(
            space=_Space(search.space),
            metric=metric,
            mode=mode,
            sampler=search.sampler(0),
            study_name=study.study_name,
            storage=study._storage,
        )
        self._optuna: Any = self._ot_study
        self._worst = tuple(
            -WORST if direction == optuna.study.StudyDirection.MAXIMIZE else WORST for direction in study.directions
        )
        self._left = [trial._trial_id for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,))]
        self._number = {trial._trial_id: trial.number for trial in study.get_trials()}

    def suggest(self, trial_id: str) -> Any:
        search, _ = _searches[self._name]
        if len(self._ot_trials) >= self._concurrency:
            return None
        study = self._optuna
        waiting = len(self._left)
        begun = len(study.get_trials(deepcopy=False, states=BEGUN))
        if time.monotonic() > search.until or (not waiting and begun >= search.trials):
            return None if self._ot_trials else Searcher.FINISHED
        if waiting:
            known = self._left.pop(0)
            study.sampler = search.sampler(self._number[known])
            self._ot_trials[trial_id] = trial = optuna.trial.Trial(study, known)
            _catch_up(study, trial)
        else:
            # A sampler of the trial's own, so that a search that is begun again draws as one that was not.
            queued = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
            study.sampler = search.sampler(queued[0].number if queued else len(study.get_trials(deepcopy=False)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it takes more than a second, as a Gaussian process does
            suggested: Any = super().suggest(trial_id)
        return {"call": _Call(search.trial, search.payload, suggested[POINT], search.nested, self._worst)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The value after each step, of one objective: Optuna shows it."""
        if ERROR not in result and len(result[VALUES]) == 1 and math.isfinite(result[VALUES][0]):
            trial = self._ot_trials[trial_id]
            if (
                result[STEP] not in self._optuna._storage.get_trial(trial._trial_id).intermediate_values
            ):  # one that begins again says all again
                trial.report(result[VALUES][0], result[STEP])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        search, _ = _searches[self._name]
        trial = self._ot_trials.pop(trial_id)
        result = result or {}
        values = result.get(VALUES) or []
        for name, value in (result.get(FACTS) or {}).items():
            trial.set_user_attr(name, value)
        if error or ERROR in result or not values or not all(map(math.isfinite, values)):
            trial.set_user_attr(
                ERROR,
                result.get(ERROR) or ("its process was lost" if error or not values else f"the objective is {values}"),
            )
            self._optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif result[STEP] < search.steps:
            self._optuna.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._optuna.tell(trial, values)
        search.told(next(each for each in self._optuna.get_trials(deepcopy=False) if each._trial_id == trial._trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Optuna's journal remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


def _catch_up(study: optuna.Study, trial: optuna.trial.Trial) -> None:
    """Let the sampler draw again what is known of a point, for a driver may have died between two of its fields: the
    others are then what they would have been.

    A quasi-random sequence counts its points in the study, so there the others are of the next one.
    """
    if isinstance(study.sampler, optuna.samplers.QMCSampler):
        return
    known = study._storage.get_trial(trial._trial_id)
    given = known.system_attrs.get("fixed_params", {})
    for name, distribution in known.distributions.items():
        if name not in given and not distribution.single() and name not in trial.relative_params:
            study.sampler.sample_independent(study, known, name, distribution)


@dataclass(frozen=True)
class _Space:
    """The point under a name of its own, beside what Ray's search notes."""

    draw: Callable[[Any], dict[str, Any]]

    def __call__(self, trial: Any) -> dict[str, Any]:
        return {POINT: self.draw(trial)}


POINT = "point"
BEGUN = tuple(state for state in optuna.trial.TrialState if state != optuna.trial.TrialState.WAITING)


class _Quiet(TrialProgressCallback):
    """Of this class, for Tune adds one that prints each trial where there is none."""

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """The search tells."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The search tells."""

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The search tells."""
