"""Members of ensembles as trials of Ray Tune: one experiment for each kind of device request, whose processes serve one
member after another.

An experiment takes members from a queue and ends when it is drained, so that it holds no device while nothing of it
runs. Which members may run is decided by the executor's admission; Tune places them and keeps their processes. A
trial's result is the member's record in the store. What a lost process was doing goes back into the queue and becomes
another trial: Tune's own recovery gives a trial up at once where two of its errors come together, as they do when a
node is lost. Tune pickles searchers and callbacks, so these hold a name alone.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner, register_trainable
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.search import Searcher

from w2s_ray.core.errors import WorkerLost
from w2s_ray.core.resources import Resources
from w2s_ray.engine.execute import execute_dealt, new_attempt
from w2s_ray.engine.step import Call
from w2s_ray.engine.store import cache_folder
from w2s_ray.runtime.demand import of_process, request
from w2s_ray.runtime.lost import cause_in
from w2s_ray.runtime.output import captured
from w2s_ray.runtime.watch import NodeWatch

SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}  # the only ways to keep Tune from printing, and from writing logs that nobody reads
ERRORS = "errors"  # of a trial's last result, one a call

Done = Callable[[Sequence[BaseException | None] | BaseException], None]


@dataclass(eq=False)
class _Member:
    """One, or several that are computed together."""

    calls: Sequence[Call]
    done: Done
    told: Callable[[str], None]  # that a process of it was lost
    lost: int = 0  # so many processes


@dataclass(eq=False)
class Members:
    """One experiment: the members of one device request that wait for a trial or run in one."""

    resources: Resources
    name: str = field(default_factory=lambda: f"members-{new_attempt()}")
    _waiting: deque[_Member] = field(default_factory=deque)
    _running: dict[str, _Member] = field(default_factory=dict)  # by trial
    _drained: bool = False
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, calls: Sequence[Call], done: Done, told: Callable[[str], None] = lambda why: None) -> bool:
        """Run a member, or several that are computed together; False when the experiment has ended, and another must be
        made. `done` is called once, from the experiment's thread; `told` before it, for each process that was lost."""
        with self._lock:
            if self._drained:
                return False
            begins = not self._waiting and not self._running
            self._waiting.append(_Member(calls, done, told))
            if begins and self.name not in _experiments:
                _experiments[self.name] = self
                self._thread = threading.Thread(target=self._experiment, name=f"w2s-{self.name}", daemon=True)
                self._thread.start()
            return True

    @property
    def thread(self) -> threading.Thread:
        """That asks Ray for things until the experiment has ended."""
        assert self._thread is not None, "an experiment begins with its first member"
        return self._thread

    # --- what Tune asks, in its thread ---

    def next(self, trial: str) -> dict[str, Any] | str | None:
        """The next member's config; None while others run and more may come; Tune's word for the end otherwise."""
        with self._lock:
            if self._waiting:
                self._running[trial] = member = self._waiting.popleft()
                return {"calls": member.calls}
            if self._running:
                return None
            self._drained = True
            return str(Searcher.FINISHED)

    def ended(self, trial: str, errors: Sequence[BaseException | None] | BaseException) -> None:
        """One for each of the trial's calls, or one for all."""
        with self._lock:
            member = self._running.pop(trial, None)
        if member is not None:
            member.done(errors)

    def lost(self, trial: str, cause: str) -> None:
        """The trial's process is no more; Tune may say so twice."""
        with self._lock:
            member = self._running.pop(trial, None)
            if member is None:
                return
            member.lost += cause_in(cause) != "preemption"
            again = member.lost <= self.resources.retries
            if again:
                self._waiting.appendleft(member)
        member.told(cause)
        if not again:
            member.done(WorkerLost.after(member.lost, cause))

    def _experiment(self) -> None:
        error: BaseException = RuntimeError("Ray Tune ended before its trials")
        folder = cache_folder() / "ray-tune"
        os.environ.update(SETTINGS)
        try:
            self._tuner(folder).fit()
        except Exception as fault:  # noqa: BLE001  (whatever it is, those who wait must learn it)
            error = fault
        with self._lock:
            self._drained = True
            left = [*self._running.values(), *self._waiting]
        for member in left:
            member.done(error)
        _experiments.pop(self.name, None)
        shutil.rmtree(folder / self.name, ignore_errors=True)

    def _tuner(self, folder: Path) -> Tuner:
        asked = request(of_process(self.resources), self.resources.labels)

        def member(config: dict[str, Any]) -> None:  # one of its own, for Tune writes the request on it
            _run_member(config)

        with _registering:  # Tune knows trainables by their names alone
            register_trainable(self.name, tune.with_resources(member, asked), warn=False)
        return Tuner(
            self.name,
            tune_config=TuneConfig(
                search_alg=_Queue(self.name),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                name=self.name,
                storage_path=str(folder),
                verbose=0,
                failure_config=FailureConfig(max_failures=0),
                callbacks=[_Report(self.name)],
            ),
        )


_experiments: dict[str, Members] = {}
_registering = threading.Lock()


def _run_member(config: dict[str, Any]) -> None:
    """In a process of Tune's. A mistake of the step's own is a result, so that Tune does not try it again."""
    calls: Sequence[Call] = config["calls"]
    with captured() as tail:
        errors = execute_dealt(calls, tail, NodeWatch())
    tune.report({ERRORS: errors})


class _Queue(Searcher):
    """Tune's view of the queue."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def suggest(self, trial_id: str) -> Any:
        return _experiments[self._name].next(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Told to the callback instead, which sees the error."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store remembers what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class _Report(TrialProgressCallback):
    """Tells the executor how trials ended. Of this class, for Tune adds one that prints each trial where there is
    none."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial reports once, at its end."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _experiments[self._name].ended(
            trial.trial_id, (trial.last_result or {}).get(ERRORS) or RuntimeError("its trial ended without a result")
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its process was lost: mistakes of the step's own are results."""
        cause = Path(trial.error_file).read_text().partition("\n")[2]  # the first line counts the trial's failures
        _experiments[self._name].lost(trial.trial_id, cause)
