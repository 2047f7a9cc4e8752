"""`RayExecutor`: calls as Ray tasks. One thread owns Ray from its start to its end and is the only one that talks to
it.

Workers get strings and keys, read their inputs from the store and write their results to it; nothing but success or
failure travels through Ray.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError

from w2s_ray.core.errors import Interrupted, ResourceError, WorkerLost
from w2s_ray.core.resources import Resources
from w2s_ray.engine.execute import execute_dealt
from w2s_ray.engine.executor import GATHER_S, Started
from w2s_ray.engine.step import Call
from w2s_ray.runtime import cluster, nodes
from w2s_ray.runtime.admission import Admission
from w2s_ray.runtime.demand import demand, lacking, options, room, shown, totals
from w2s_ray.runtime.gang import run_gang
from w2s_ray.runtime.head import LOOK_S, HeadWatch
from w2s_ray.runtime.output import captured

if TYPE_CHECKING:
    from w2s_ray.runtime.members import Members

LEAVE_S = 60.0  # for what Ray Tune and Train still do when all calls have ended
NODES_S = 0.5
SAY_S = 2.0  # between words on what waits
HOLDERS = 3  # that are named
REFRESH_S = 5.0  # how often the cluster's size is looked at while something waits

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job:
    """A call, or several that one process computes together."""

    calls: list[Call]
    started: list[Started]
    futures: list[Future[None]]
    ref: Any = None
    errors: Sequence[BaseException | None] | BaseException = ()  # of a gang or of members, which have no reference
    # What it is taken to hold; nothing where Ray keeps it for an autoscaler's next node.
    demand: dict[str, float] = field(default_factory=dict)

    @property
    def call(self) -> Call:
        return self.calls[0]

    def begun(self) -> None:
        for started in self.started:
            started()

    def end(self, errors: Sequence[BaseException | None] | BaseException = ()) -> None:
        """One for each call, one for all, or none."""
        each = (
            [errors] * len(self.calls)
            if isinstance(errors, BaseException)
            else list(errors) or [None] * len(self.calls)
        )
        for future, error in zip(self.futures, each, strict=True):
            with suppress(InvalidStateError):  # somebody was faster
                future.set_result(None) if error is None else future.set_exception(error)


def _together(jobs: list[_Job]) -> _Job:
    calls, started, futures = (
        [each for job in jobs for each in getattr(job, part)] for part in ("calls", "started", "futures")
    )
    return _Job(calls, started, futures)


class RayExecutor:
    """Starts (or joins) Ray at its first call; `joined`: in a process of Ray's own, which is in its cluster already."""

    def __init__(self, store: str, target: cluster.Target | None = None, *, joined: bool = False) -> None:
        self._store, self._target, self._joined = store, target or cluster.Target(), joined
        self._nodes: tuple[float, list[dict[str, Any]]] = (-math.inf, [])
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._open: set[_Job] = set()  # those whose futures somebody waits for
        self._running: set[_Job] = set()
        self._gathered: list[_Job] = []  # calls that may be computed together wait a moment for each other
        self._wanted: set[Resources] = set()  # all that was asked for: some choose among the nodes
        self._members: dict[Resources, Members] = {}
        self._experiments: list[Members] = []  # all that there were
        self._gangs: list[threading.Thread] = []
        self._local = True
        self._stopped = False
        self._head: HeadWatch | None = None
        self._tell: Callable[[str], None] = lambda why: None
        self._said = (0.0, "")  # when, and what, was last told of the calls that wait
        self._thread = threading.Thread(target=self._own_ray, name="w2s-ray", daemon=True)
        self._thread.start()

    # --- any thread ---

    def launch(self, call: Call, started: Started) -> Future[None]:
        job = _Job([call], [started], [Future()])
        if self._head is not None and self._head.error is not None:
            job.end(self._head.error)
        else:
            self._inbox.put(("launch", job))
        return job.futures[0]

    def on_wait(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def close(self, now: bool = False) -> None:
        self._inbox.put(("stop" if now else "drain", None))
        while self._thread.is_alive() and not (self._head is not None and self._head.error is not None):
            self._thread.join(timeout=LOOK_S)

    def _head_is_lost(self, error: ResourceError) -> None:
        """The thread that owns Ray waits for an answer that will not come."""
        for job in list(self._open):
            job.end(error)

    # --- the thread that owns Ray ---

    def _own_ray(self) -> None:
        try:
            if self._joined:
                self._local = False
            else:
                self._local = cluster.join(self._target)
                nodes.check(self._store)
                self._head = None if self._local else HeadWatch(self._head_is_lost)
            self._devices: Admission[_Job] = Admission(totals(cluster.nodes()))
        except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must learn it)
            self._refuse_all(error)
            return
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001  (a lost head, a refused option: no future may stay open)
            for job in self._open:
                job.end(error)
            self._refuse_all(error)
        finally:
            self._leave()

    def _refuse_all(self, error: BaseException) -> None:
        """Until this executor is closed."""
        while (message := self._inbox.get())[0] not in ("drain", "stop"):
            if message[0] == "launch":
                message[1].end(error)

    def _leave(self) -> None:
        """A thread that asks Ray for something after its end takes the whole process with it, so those of Tune and
        Train must be through. After a stop they are in the middle of something that takes its time; then Ray is left to
        the end of this process."""
        if self._head is not None:
            self._head.close()
        threads = [*(experiment.thread for experiment in self._experiments), *self._gangs]
        until = time.monotonic() + (0.0 if self._stopped else LEAVE_S)
        for thread in threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        if not self._joined and not any(thread.is_alive() for thread in threads):
            ray.shutdown()

    def _serve(self) -> None:
        draining = False
        while not (draining and not self._running and not self._gathered):
            try:
                what, job = self._inbox.get(timeout=GATHER_S if self._gathered else REFRESH_S)
            except queue.Empty:
                what, job = "gathered" if self._gathered else "look", None
            if what == "stop":
                self._stop()
                return
            if what == "launch":
                self._open.add(job)
                if job.call.group is None or self._joined:
                    self._accept(job)
                else:
                    self._gathered.append(job)
            elif what == "gathered":
                for together in self._deal():
                    self._accept(together)
            elif what == "look":
                self._look()
            elif what == "done":
                self._end(job)
            draining |= what == "drain"
            for admitted in self._devices.admit():
                self._start(admitted)
            self._say_what_waits()

    def _say_what_waits(self) -> None:
        """When it has changed, and not for what waits a moment."""
        if time.monotonic() - self._said[0] < SAY_S:
            return
        why = self._what_waits()
        if why != self._said[1]:
            self._tell(why)
        self._said = (time.monotonic(), why)

    def _what_waits(self) -> str:
        shortage = self._devices.shortage()
        if shortage is None:
            return ""
        first, lacks = shortage
        needs = [f"{shown(need, name)} ({shown(free, name)} free)" for name, (need, free) in lacks.items()]
        holders = [str(job.call.key) for job in self._running if any(job.demand.get(name) for name in lacks)]
        more = [f"{len(holders) - HOLDERS} more"] if len(holders) > HOLDERS else []
        held = f"; held by {', '.join([*holders[:HOLDERS], *more])}" if holders else ""
        return f"{len(self._devices)} steps wait: {first.call.key} needs {' and '.join(needs)}{held}"

    def _look(self) -> None:
        """Nodes may have come: elastic gangs will grow into them, so theirs is counted before anything else is let
        in."""
        have = totals(self._living(), self._wanted)
        self._devices.resize(have)
        for job in self._running:
            if job.demand and job.call.resources.fewest < job.call.resources.most:
                grown = _elastic(job.call.resources, have)
                more = {name: amount - job.demand[name] for name, amount in grown.items() if amount > job.demand[name]}
                if more and self._devices.take(more):
                    job.demand = grown

    def _living(self) -> list[dict[str, Any]]:
        """The cluster's nodes, asked for at most once in NODES_S: thousands of calls may come at once."""
        if time.monotonic() - self._nodes[0] > NODES_S:
            self._nodes = (time.monotonic(), cluster.nodes())
        return self._nodes[1]

    def _deal(self) -> list[_Job]:
        """The gathered calls, those of one group in as many jobs of like size as there are places for them."""
        groups: dict[Any, list[_Job]] = {}
        for job in self._gathered:
            groups.setdefault(job.call.group, []).append(job)
        self._gathered.clear()
        dealt = []
        for jobs in groups.values():
            resources = jobs[0].call.resources
            places = max(1, room(resources, totals(self._living(), [resources])))
            hands = [jobs[n::places] for n in range(min(places, len(jobs)))]
            dealt += [_together(hand) for hand in hands]
        self._open |= set(dealt)
        self._open -= {job for jobs in groups.values() for job in jobs}
        return dealt

    def _accept(self, job: _Job) -> None:
        resources = job.call.resources
        living = self._living()
        short = lacking(resources, living)
        if short and (self._local or not self._target.autoscale):
            job.end(
                ResourceError(
                    f"{job.call.key} asks for {' and '.join(short)}; lower `resources`, or give a larger cluster with"
                    " --address (`autoscale: true` in a place file waits for machines that a cluster adds)"
                )
            )
            self._open.discard(job)
        elif short:
            # An autoscaler adds nodes only for demands that Ray has seen.
            logger.warning(
                "%s asks for %s: it waits in Ray for a node that can hold it", job.call.key, " and ".join(short)
            )
            self._start(job)
        else:
            self._wanted.add(resources)
            have = totals(living, self._wanted)
            self._devices.resize(have)
            job.demand = _elastic(resources, have)
            self._devices.add(job, job.demand)

    def _start(self, job: _Job) -> None:
        resources = job.call.resources
        if resources.sharded:
            self._running.add(job)
            job.begun()
            self._gangs.append(
                threading.Thread(target=self._follow_gang, args=(job,), name=f"w2s-gang-{job.call.key}", daemon=True)
            )
            self._gangs[-1].start()
            return
        if job.call.handling.member and not self._joined:  # a trial of Tune's has no experiments of its own
            self._running.add(job)
            job.begun()
            self._join_members(job)
            return
        task = _run_on_gpu if resources.gpus else _run
        how = options(resources) | {"name": str(job.call.key)}
        if self._joined:
            how["scheduling_strategy"] = "DEFAULT"  # not in what this process itself was given
        job.ref = task.options(**how).remote(job.call)
        self._running.add(job)
        job.begun()
        job.ref.future().add_done_callback(lambda done: self._inbox.put(("done", job)))

    def _follow_gang(self, job: _Job) -> None:
        """In a thread of the gang's own, for Ray Train blocks until it has ended."""
        try:
            run_gang(job.call)
        except BaseException as error:  # noqa: BLE001  (whatever it is, the future must learn it)
            job.errors = error
        self._inbox.put(("done", job))

    def _join_members(self, job: _Job) -> None:
        """The experiment of its device request, or a new one."""
        from w2s_ray.runtime.members import Members  # Ray Tune takes a second to import

        done = partial(self._follow_member, job)
        members = self._members.get(job.call.resources)
        if members is None or not members.put(job.calls, done):
            members = self._members[job.call.resources] = Members(job.call.resources)
            self._experiments.append(members)
            members.put(job.calls, done)

    def _follow_member(self, job: _Job, errors: Sequence[BaseException | None] | BaseException) -> None:
        """From a thread of its experiment."""
        job.errors = errors
        self._inbox.put(("done", job))

    def _end(self, job: _Job) -> None:
        self._running.discard(job)
        if job.demand:
            self._devices.release(job.demand)
        errors = job.errors
        try:
            if job.ref is not None:
                ray.get(job.ref)
        except RayTaskError as error:
            errors = error.cause if isinstance(error.cause, Exception) else error
        except RayError as error:
            errors = _lost(error, job.call.resources.retries)
        job.end(errors)
        self._open.discard(job)

    def _stop(self) -> None:
        self._stopped = True
        for job in (*self._running, *self._devices.withdraw(), *self._gathered):
            if job.ref is not None:
                ray.cancel(job.ref, force=True)
            job.end(Interrupted("the run was stopped"))


def _lost(error: RayError, retries: int) -> WorkerLost:
    """What Ray says of a process that is no more, in a line."""
    if isinstance(error, LocalRayletDiedError):
        return WorkerLost(
            "Ray has died on the machine where it ran; run the same command again: it goes on from what is finished"
        )
    return WorkerLost.after(retries + 1, str(error))


def _elastic(resources: Resources, have: dict[str, float]) -> dict[str, float]:
    """Of as many processes as the cluster has room for, between the fewest and the most."""
    return demand(resources, min(resources.most, max(resources.fewest, room(resources, have))))


@ray.remote
def _run(call: Call) -> None:
    _execute(call)


@ray.remote(max_calls=1)
def _run_on_gpu(call: Call) -> None:
    """A process of its own: CUDA_VISIBLE_DEVICES may change between tasks, under a CUDA that was initialised with the
    old one."""
    _execute(call)


def _execute(call: Call) -> None:
    with captured() as tail:
        (error,) = execute_dealt([call], tail)
    if error is not None:
        raise error
