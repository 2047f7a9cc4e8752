"""One execution of a step, wherever it runs: open the inputs, call the function, publish the riders, publish the
result."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

from w2s_ray.core.errors import (
    DamagedArtifact,
    InputError,
    OutOfMemory,
    PeerLost,
    ResourceError,
    StepFailed,
    W2SError,
)
from w2s_ray.core.resources import Resources
from w2s_ray.core.watch import Watch
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.progress import Progress, Tell, untold
from w2s_ray.engine.record import Failure, Record, key_names, peak_memory_mb
from w2s_ray.engine.step import JSON, Call, Rider, call_entry
from w2s_ray.engine.store import NO_ROOM, Artifact, Store, WorkPlace, no_room, open_store


@dataclass(frozen=True)
class Work:
    """What a step's function is given: parameters, inputs, a folder for its files, and a work directory that its next
    attempt will find."""

    call: Call
    store: Store
    inputs: dict[str, Artifact | tuple[Artifact, ...]]
    out: Path
    place: WorkPlace
    attempt: str  # name of this execution: a call that Ray repeats has another one
    fresh: bool  # False when the step's own record exists and only riders are wanted
    leads: bool = True  # whether this process writes: one does, of those that run the step together
    watch: Watch = field(default_factory=Watch)
    tell: Tell = untold  # reports progress
    _started: float = field(default_factory=perf_counter)

    @property
    def params(self) -> JSON:
        return self.call.params

    @property
    def resources(self) -> Resources:
        return self.call.resources

    @property
    def places(self) -> Mapping[str, str]:
        """Local places of what the parameters name by its content."""
        return self.call.handling.places

    def input(self, name: str) -> Artifact:
        """A single input."""
        artifact = self.inputs[name]
        assert isinstance(artifact, Artifact), f"input {name} is a list"
        return artifact

    def rider_input(self, rider: Rider, name: str) -> Artifact:
        """An input that only a rider has."""
        key = rider.inputs[name]
        assert isinstance(key, Key), f"rider input {name} is a list"
        return self.store.open(key)

    def put(
        self,
        key: Key,
        params: JSON,
        inputs: dict[str, Key | tuple[Key, ...]],
        version: int,
        save: Callable[[Path], None],
        value: JSON | None = None,
    ) -> None:
        """Publish a further result of this step, under a key of its own."""
        if not self.leads or self.store.there(key):
            return
        files = _saved(self.store, key, self.attempt, save)
        record = Record(
            key.full, key.step, version, params, key_names(inputs), self.attempt, files, value or {},
            perf_counter() - self._started, self.resources.as_dict(), self.call.key.full,
            peak_memory_mb=peak_memory_mb(),
        )  # fmt: skip
        self.store.commit(key, record)

    def put_rider(self, rider: Rider, save: Callable[[Path], None], value: JSON | None = None) -> None:
        """Publish the result of a rider."""
        self.put(rider.key, rider.params, rider.inputs, rider.version, save, value)


def execute(call: Call, log: Callable[[], str] = str, *, leads: bool = True, watch: Watch | None = None) -> None:
    """Run a call to its record. An error is recorded and raised as StepFailed; `log` gives the worker's last lines for
    that record.

    Processes that run one call together all execute it; only the one that `leads` publishes.
    """
    run = _Execution.of(call, leads, watch or Watch())
    try:
        try:
            if (
                call.resources.sharded or not run.done()
            ):  # the processes of a gang could disagree on this, so `run_gang` checks it before they start
                run.publish(call.function()(run.begin()))
        finally:
            run.clean()
    except Exception as error:  # noqa: BLE001  (the one place where any error of a step becomes its failure record)
        raise run.judge(error, log) from None


def is_done(call: Call) -> bool:
    """Whether all that a call makes is in the store. A driver that was frozen, and lost its lease meanwhile, may launch
    what others have made."""
    return _Execution.of(call, True, Watch()).done()


def execute_dealt(
    calls: Sequence[Call], log: Callable[[], str] = str, watch: Watch | None = None
) -> list[BaseException | None]:
    """Run the calls that one process was assigned: those of one group, or a single call without a group."""
    if calls[0].group is not None:
        return execute_many(calls, log, watch)
    try:
        execute(calls[0], log, watch=watch)
    except Exception as error:  # noqa: BLE001  (the caller raises it)
        return [error]
    return [None]


def execute_many(
    calls: Sequence[Call], log: Callable[[], str] = str, watch: Watch | None = None
) -> list[BaseException | None]:
    """Run calls of one group together, each to its own record or error. The function that `Stack.entry` names takes all
    their works and returns a value or an error for each."""
    watch = watch or Watch()
    runs = [_Execution.of(call, True, watch) for call in calls]
    stack = calls[0].handling.stack
    assert stack is not None, "calls of a group have one"
    errors: dict[int, BaseException] = {}
    works: dict[int, Work] = {}
    ended: set[int] = set()
    for n, run in enumerate(runs):
        try:
            if not run.done():  # it may be done, by a process that was lost afterwards
                works[n] = run.begin()
        except Exception as error:  # noqa: BLE001  (as in `execute`)
            errors[n] = run.judge(error, log)
    for n in works:
        runs[n].share = 1 / len(works)
    try:
        made = call_entry(stack.entry)(list(works.values())) if works else ()
        for n, value in zip(works, made, strict=True):  # each as soon as it is made
            ended.add(n)
            try:
                if isinstance(value, Exception):
                    raise value
                runs[n].publish(value)
            except Exception as error:  # noqa: BLE001  (as in `execute`; the others go on)
                errors[n] = runs[n].judge(error, log)
    except Exception as error:  # noqa: BLE001  (as in `execute`)
        errors |= {n: runs[n].judge(error, log) for n in works if n not in ended}
    finally:
        for run in runs:
            run.clean()
    return [errors.get(n) for n in range(len(runs))]


@dataclass
class _Execution:
    """One attempt at a call."""

    call: Call
    store: Store
    attempt: str
    leads: bool
    watch: Watch
    published: bool = False
    work: Work | None = None
    share: float = 1.0  # of the process: calls that are computed together take its time together
    _started: float = field(default_factory=perf_counter)

    @staticmethod
    def of(call: Call, leads: bool, watch: Watch) -> _Execution:
        # A worker serves many calls, and another process may set an artifact aside between them, so no cached record is
        # used.
        return _Execution(call, replace(open_store(call.store), _records={}), new_attempt(), leads, watch)

    @cached_property
    def fresh(self) -> bool:
        """Whether the step's own result is missing, and not only riders."""
        return not self.store.there(self.call.key)

    def done(self) -> bool:
        """Whether all results of the call are in the store."""
        return not self.fresh and all(self.store.there(rider.key) for rider in self.call.riders)

    def begin(self) -> Work:
        call, store = self.call, self.store
        inputs: dict[str, Artifact | tuple[Artifact, ...]] = {
            name: store.open(key) if isinstance(key, Key) else tuple(store.open(k) for k in key)
            for name, key in call.inputs.items()
        }
        folder = store.attempt_folder(call.key, self.attempt)
        place, tell = WorkPlace(store, call.key), Progress(store, call.key) if self.leads else untold
        self.work = Work(call, store, inputs, folder, place, self.attempt, self.fresh, self.leads, self.watch, tell)
        return self.work

    def publish(self, value: JSON) -> None:
        work, call, store = self.work, self.call, self.store
        assert work is not None, "it has begun"
        if work.fresh and self.leads:
            files = store.upload(call.key, self.attempt, work.out)
            record = Record(
                call.key.full, call.step, call.version, call.params, key_names(call.inputs), self.attempt, files, value,
                self.share * (perf_counter() - self._started), call.resources.as_dict(),
                peak_memory_mb=peak_memory_mb(),
            )  # fmt: skip
            self.published = store.commit(call.key, record)
            work.place.clear()

    def clean(self) -> None:
        """Remove the files of an attempt that was not published."""
        if self.work is not None and not self.published:
            shutil.rmtree(self.work.out, ignore_errors=True)

    def judge(self, error: Exception, log: Callable[[], str]) -> Exception:
        """The error to raise in the driver; a step's own error is recorded too."""
        if isinstance(error, DamagedArtifact):
            return error  # the driver sets the artifact aside, makes it again, and repeats this call
        if isinstance(error, PeerLost):
            return error  # the gang's launcher starts its processes again
        if isinstance(error, (InputError, ResourceError, OutOfMemory)):
            return error  # for the user to correct: the message is enough, and the next run tries again
        text = "".join(traceback.format_exception(error))
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            error = no_room(error, error.filename or self.store.url)
        message = f"{type(error).__name__}: {error}"
        failure = Failure(self.call.key.full, self.attempt, self.call.driver, message, text, log())
        with suppress(Exception):  # a full disk or a store that is away must not hide the step's own error
            self.store.fail(self.call.key, failure)
        if isinstance(error, W2SError):
            text, message = str(error), str(error)  # written for people: the message is complete
        return StepFailed(self.call.step, str(self.call.key), message, text, failure.log)


def new_attempt() -> str:
    """A unique name for an attempt."""
    return f"a{uuid4().hex[:12]}"


def _saved(store: Store, key: Key, attempt: str, save: Callable[[Path], None]) -> dict[str, dict[str, Any]]:
    """The files that `save` writes, in the store; nothing is left on this machine of those that it could not write."""
    folder = store.attempt_folder(key, attempt)
    with ExitStack() as failed:
        failed.callback(shutil.rmtree, folder, ignore_errors=True)
        save(folder)
        files = store.upload(key, attempt, folder)
        failed.pop_all()
    return files


def put_content(
    store: Store,
    key: Key,
    version: int,
    params: dict[str, Any],
    save: Callable[[Path], None],
    value: JSON | None = None,
) -> None:
    """Publish content that is at hand, under a key that is made of its digest (such as labels made by a combiner)."""
    if store.there(key):
        return
    attempt = new_attempt()
    files = _saved(store, key, attempt, save)
    store.commit(key, Record(key.full, key.step, version, params, {}, attempt, files, value or {}))
