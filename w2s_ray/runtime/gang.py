"""One call run by several processes together: a Ray Train run whose workers all execute it, of which the first one
publishes.

Ray Train places the workers, makes their process group, and starts all again when one is lost; the fit's own
checkpoint, in the step's work directory, is where they go on. Ray's checkpoints and reports are not used, so nothing of
a result depends on them. What happened on the way is noted in files of the work directory, named by the launch: a
worker's `mistake`, the `stack` of one that hung, the `ends` that Ray Train saw.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from w2s_ray.core import errors
from w2s_ray.core.errors import OutOfMemory, PeerLost, StepFailed, W2SError
from w2s_ray.engine.execute import execute, is_done, new_attempt
from w2s_ray.engine.record import Failure
from w2s_ray.engine.step import Call, Launch
from w2s_ray.engine.store import WorkPlace, cache_folder, open_store
from w2s_ray.runtime.demand import of_process
from w2s_ray.runtime.meeting import Meeting
from w2s_ray.runtime.output import captured
from w2s_ray.runtime.watch import GangWatch

RESIZE_S = 5.0  # at least so long between looks for room to grow


class GangLost(StepFailed):
    """Its processes were lost more often than they may be started again."""


@dataclass(frozen=True)
class Notes:
    """What the processes of one launch write for each other and for the driver, in the step's work directory."""

    call: Call
    launch: str

    def write(self, name: str, value: Any) -> None:
        place = self._place()
        file = place.scratch / f"{new_attempt()}.part"
        file.write_text(json.dumps(value, default=str), encoding="utf-8")
        place.keep(self._file(name), file)

    def read(self, name: str) -> Any:
        path = self._place().fetch(self._file(name))
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))

    def mistake(self) -> W2SError | None:
        """What a worker raised, if one did."""
        noted = self.read("mistake")
        if noted is None:
            return None
        made: W2SError = getattr(errors, noted["error"])(*noted["args"])
        return made

    def stacks(self) -> str:
        """Where processes that hung were."""
        found = [(rank, self.read(f"stack-{rank}")) for rank in range(self.call.resources.most)]
        return "\n".join(f"process {rank}: {stack}" for rank, stack in found if stack)

    def _place(self) -> WorkPlace:
        return WorkPlace(open_store(self.call.store), self.call.key)

    def _file(self, name: str) -> str:
        return f"{name}-{self.launch}.json"


class _Ends(UserCallback):
    """In Ray Train's controller: why workers ended, and when."""

    def __init__(self, notes: Notes, launched_at: float) -> None:
        self.notes, self.launched_at = notes, launched_at

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        rank, error = _first(worker_exceptions)
        end = {"worker": rank, "cause": _cause(error)}
        seen = self.notes.read("ends") or []
        if not seen or {name: seen[-1][name] for name in end} != end:  # Ray Train tells it at each look
            self.notes.write("ends", [*seen, {**end, "after_s": round(time.time() - self.launched_at, 3)}])


def run_gang(call: Call, lost: Callable[[str, float], None] = lambda why, seconds: None) -> None:
    """Run the call to its record, or raise what ended it. Where memory runs out, the fit goes on with half as many
    tokens at once. `lost` is told of each time that processes were lost, at the end. Blocks; not in the thread that
    owns Ray."""
    if is_done(call):
        return
    halvings: list[int] = []
    while True:
        try:
            _launch(call, halvings, lost)
            return
        except OutOfMemory as error:
            halvings.append(error.micro_tokens)
            call = replace(call, resources=replace(call.resources, **error.next()))


def _launch(call: Call, halvings: list[int], lost: Callable[[str, float], None]) -> None:
    resources = call.resources
    notes = Notes(call, new_attempt())
    launched_at = time.time()
    trainer = TorchTrainer(
        work_in_gang,
        train_loop_config={"notes": notes, "launched_at": launched_at, "halvings": halvings},
        torch_config=Meeting(
            backend="nccl" if resources.num_gpus else "gloo",
            timeout_s=max(1, round(2 * resources.hang_s)),
            retries=resources.retries,
        ),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,  # type: ignore[arg-type]  # Ray's annotation is of the older class
            use_gpu=bool(resources.num_gpus),
            # growing costs what was done since the last checkpoint
            elastic_resize_monitor_interval_s=max(RESIZE_S, resources.checkpoint_every_s),  # type: ignore[call-arg]
            resources_per_worker={name: amount for name, amount in of_process(resources).items() if amount},
            label_selector=dict(resources.labels) or None,
        ),
        run_config=RunConfig(
            name=f"{call.key.digest[:12]}-{notes.launch}",  # a name that was used before resumes the old run
            storage_path=_storage(call),
            failure_config=FailureConfig(
                max_failures=resources.retries,
                max_preemption_failures=-1,  # type: ignore[call-arg]  # the same
            ),
            callbacks=[_Ends(notes, launched_at)],  # type: ignore[list-item]  # the same
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        ends, mistake = notes.read("ends") or [], notes.mistake()
        if not ends:
            ends = [{"cause": _cause(error), "after_s": time.time() - launched_at}]
        _tell(lost, ends[:-1] if mistake is not None else ends)
        raise mistake or _lost(call, notes, error) from error
    mistake = notes.mistake()
    if mistake is not None:
        _tell(lost, (notes.read("ends") or [])[:-1])  # the last one is the mistake's
        raise mistake
    record = open_store(call.store).record(call.key)  # the notes are gone when it is made
    _tell(lost, record.value.get("facts", {}).get("ends", []) if record is not None else [])


def _tell(lost: Callable[[str, float], None], ends: Sequence[dict[str, Any]]) -> None:
    before = 0.0
    for end in ends:
        lost(str(end["cause"]), end["after_s"] - before)
        before = end["after_s"]


def work_in_gang(config: dict[str, Any]) -> None:
    """In each worker. A mistake of the step's own is noted, so that the restart that Ray Train makes of it ends at
    once."""
    notes: Notes = config["notes"]
    if notes.mistake() is not None:
        return
    rank = ray.train.get_context().get_world_rank()
    start_s = round(time.time() - config["launched_at"], 3)
    facts = {"start_s": start_s, "ends": notes.read("ends") or [], "halvings": config["halvings"]}
    call = replace(notes.call, launch=Launch(facts))
    watch = GangWatch(call.resources.hang_s, lambda stack: notes.write(f"stack-{rank}", stack))
    with captured() as tail:
        try:
            execute(call, tail, leads=rank == 0, watch=watch)
        except PeerLost:
            raise
        except W2SError as error:
            notes.write("mistake", {"error": type(error).__name__, "args": list(error.args)})
            raise


def _lost(call: Call, notes: Notes, error: TrainingFailedError) -> GangLost:
    """Processes that died too often could write no failure; this does."""
    failure = Failure(call.key.full, notes.launch, call.driver, _cause(error), str(error), notes.stacks())
    open_store(call.store).fail(call.key, failure)
    return GangLost(call.step, str(call.key), failure.error, failure.traceback, failure.log)


def _first(errors: dict[int, Exception]) -> tuple[int, Exception]:
    """The process that ended for a reason of its own, rather than one that missed it."""
    return min(errors.items(), key=lambda item: ("PeerLost" in f"{type(item[1]).__name__} {item[1]}", item[0]))


def _cause(error: BaseException) -> str:
    """In one line."""
    inner = getattr(error, "worker_failures", None)
    if inner:
        _, error = _first(inner)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]


def _storage(call: Call) -> str:
    """Where Ray Train keeps its notes: on the store's disk, which all nodes see; else on this machine."""
    store = open_store(call.store)
    folder = Path(store.root, "ray-train") if store.local else cache_folder() / "ray-train"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
