"""`RayExecutor`: calls as Ray tasks. One thread owns Ray from its start to its end and is the only one that talks to
it.

Workers get strings and keys, read their inputs from the store and write their results to it; nothing but success or
failure travels through Ray.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError

from w2s_ray.core.errors import Interrupted, ResourceError, WorkerLost
from w2s_ray.core.resources import Resources
from w2s_ray.core.secrets import redacted
from w2s_ray.engine import account
from w2s_ray.engine.execute import execute_dealt
from w2s_ray.engine.executor import GATHER_S, Started
from w2s_ray.engine.step import Call
from w2s_ray.runtime import cluster, nodes
from w2s_ray.runtime.admission import Admission
from w2s_ray.runtime.demand import demand, lacking, may_hold, options, room, shown, totals
from w2s_ray.runtime.gang import GangLost, run_gang
from w2s_ray.runtime.head import LOOK_S, HeadWatch
from w2s_ray.runtime.job import Errors, Job, dealt
from w2s_ray.runtime.lost import cause_in, cause_of, in_a_line, names_one_of
from w2s_ray.runtime.output import captured
from w2s_ray.runtime.scouts import Scouts
from w2s_ray.runtime.slots import Slots
from w2s_ray.runtime.watch import NodeWatch

if TYPE_CHECKING:
    from w2s_ray.runtime.members import Members

LEAVE_S = 60.0  # for what Ray Tune and Train still do when all calls have ended
NODES_S = 0.5
SAY_S = 2.0  # between words on what waits
HOLDERS = 3  # that are named
KNOWN_S = 30.0  # after which Ray knows that a node is dead
REFRESH_S = 5.0  # how often the cluster is looked at while nothing waits; else as often as words are said


class RayExecutor:
    """Starts (or joins) Ray at its first call; `joined`: in a process of Ray's own, which is in its cluster already."""

    def __init__(self, store: str, target: cluster.Target | None = None, *, joined: bool = False) -> None:
        self._store, self._target, self._joined = store, target or cluster.Target(), joined
        self._nodes: tuple[float, list[dict[str, Any]]] = (-math.inf, [])
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._open: set[Job] = set()  # those whose futures somebody waits for
        self._running: set[Job] = set()
        self._gathered: list[Job] = []  # calls that may be computed together wait a moment for each other
        self._hoping: list[Job] = []  # no machine can hold them yet; an autoscaler may add one
        self._wanted: set[Resources] = set()  # all that was asked for: some choose among the nodes
        self._members: dict[Resources, Members] = {}
        self._experiments: list[Members] = []  # all that there were
        self._gangs: list[threading.Thread] = []
        self._local = True
        self._stopped = self._closing = False
        self._head: HeadWatch | None = None
        self._tell: Callable[[str], None] = lambda why: None
        self._said = (0.0, "")  # when, and what, was last told of the calls that wait
        self.account = account.Account()
        self._slots, self._scouts = Slots(), Scouts()
        self._looked = -math.inf
        self._leaving: set[str] = set()  # addresses of nodes that were to be taken away
        self._thread = threading.Thread(target=self._own_ray, name="w2s-ray", daemon=True)
        self._thread.start()

    # --- any thread ---

    def launch(self, call: Call, started: Started) -> Future[None]:
        job = Job([call], [started], [Future()])
        if self._head is not None and self._head.error is not None:
            job.end(self._head.error)
        else:
            self._inbox.put(("launch", job))
        return job.futures[0]

    def on_wait(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def close(self, now: bool = False) -> None:
        self._closing = True
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
            have = totals(cluster.nodes())
            self._devices: Admission[Job] = Admission(have)
            self.account.resize(have)
        except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must learn it)
            self._refuse_all(error)
            return
        try:
            self._serve()
            for job in list(self._open):
                job.end(Interrupted("the run has ended; the same command continues it"))
        except BaseException as error:  # noqa: BLE001  (a lost head, a refused option: no future may stay open)
            for job in self._open:
                job.end(error)
            self._refuse_all(error)
        finally:
            self._leave()

    def _refuse_all(self, error: BaseException) -> None:
        """Until this executor is closed."""
        while not self._closing or not self._inbox.empty():
            what, job = self._inbox.get()
            if what == "launch":
                job.end(error)

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
        if self._head is None or self._head.error is None:
            with suppress(Exception):  # a process that goes on would keep their devices
                self._slots.end_idle(0)
                self._scouts.call_back()
        if not self._joined and any(thread.is_alive() for thread in threads):
            cluster.leave_as_it_is()
        elif not self._joined:
            ray.shutdown()

    def _serve(self) -> None:
        draining = False
        while not (draining and not self._running and not self._gathered):
            waits = bool(len(self._devices) or self._hoping)
            try:
                what, job = self._inbox.get(timeout=GATHER_S if self._gathered else self._to_look(waits))
            except queue.Empty:
                what, job = "gathered" if self._gathered else "nothing", None
            if what == "stop":
                self._stop()
                return
            draining |= what == "drain"
            self._take(what, job)
            if not self._to_look(waits):
                self._look()
            for admitted in self._devices.admit():
                self._start(admitted)
            self._slots.make_room(self._devices.free)
            self._say_what_waits()

    def _to_look(self, waits: bool) -> float:
        """Seconds until the cluster is looked at again."""
        return max(0.0, self._looked + (SAY_S if waits else REFRESH_S) - time.monotonic())

    def _take(self, what: str, job: Any) -> None:
        """A message."""
        if what == "launch":
            job.calls = [self._settled(call) for call in job.calls]
            self._open.add(job)
            if job.call.group is None or self._joined:
                self._accept(job)
            else:
                self._gathered.append(job)
        elif what == "gathered":
            for together in self._deal():
                self._accept(together)
        elif what == "lost":  # a process, and another one was started
            job, said, seconds = job
            self._lose(job, cause_in(said), said, seconds)
        elif what == "done":
            self._end(job)

    def _settled(self, call: Call) -> Call:
        """With a number of GPUs in the place of `auto`: those of the nodes that may hold it decide."""
        if call.resources.gpus != "auto":
            return call
        there = totals(node for node in self._living() if may_hold(node, call.resources))["GPU"]
        return replace(call, resources=call.resources.settled(there))

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
            hoping = [job.call for job in self._hoping]
            if not hoping:
                return ""
            asked = " and ".join(lacking(hoping[0].resources, self._living()))
            if not asked:
                return ""  # at the next look
            return f"{len(hoping)} steps wait for a machine: {hoping[0].key} asks for {asked}"
        first, lacks = shortage
        needs = [f"{shown(need, name)} ({shown(free, name)} free)" for name, (need, free) in lacks.items()]
        holders = [str(job.call.key) for job in self._running if any(job.demand.get(name) for name in lacks)]
        more = [f"{len(holders) - HOLDERS} more"] if len(holders) > HOLDERS else []
        held = f"; held by {', '.join([*holders[:HOLDERS], *more])}" if holders else ""
        return f"{len(self._devices)} steps wait: {first.call.key} needs {' and '.join(needs)}{held}"

    def _resize(self, have: dict[str, float]) -> None:
        self._devices.resize(have)
        self.account.resize(have)

    def _look(self) -> None:
        """Nodes may have come: elastic gangs will grow into them, so theirs is counted before anything else is let
        in."""
        self._looked = time.monotonic()
        self._slots.end_idle()
        living = self._living()
        lacks = {asked: lacking(asked, living) for asked in {job.call.resources for job in self._hoping}}
        come = [job for job in self._hoping if not lacks[job.call.resources]]
        self._hoping = [job for job in self._hoping if lacks[job.call.resources]]
        for job in come:
            self._accept(job, again=job.lost > 0)
        have = totals(living, self._wanted)
        self._resize(have)
        while not self._local and (first := next(self._devices.waiting(), None)) is not None:
            if not lacking(first.call.resources, living):
                break
            self._hoping.append(self._devices.pop())  # its node is gone; it must not hold up the others
        for job in [] if self._local else self._running:
            if job.ref is not None and not job.recalled and lacking(job.call.resources, living):
                self._recall(job)
        for job in self._running:
            if job.call.resources.fewest < job.call.resources.most:
                grown = _elastic(job.call.resources, have)
                more = {name: amount - job.demand[name] for name, amount in grown.items() if amount > job.demand[name]}
                if more and self._devices.take(more):
                    job.demand = grown
                    self.account.change(job, grown)
        if not self._local:
            there = {node["NodeManagerAddress"] for node in living}
            self._leaving = cluster.leaving(living) | (self._leaving - there)
        if self._target.autoscale and not self._local:
            self._scouts.send(job.call.resources for job in (*self._hoping, *self._devices.waiting()))

    def _recall(self, job: Job) -> None:
        """From Ray, which tells that a node is lost before it knows itself, and then waits in silence with what only
        that node could hold."""
        job.recalled = True
        if job.slot is not None:
            job.slot.end()
        else:
            ray.cancel(job.ref, force=True)

    def _living(self) -> list[dict[str, Any]]:
        """The cluster's nodes, asked for at most once in NODES_S: thousands of calls may come at once."""
        if time.monotonic() - self._nodes[0] > NODES_S:
            self._nodes = (time.monotonic(), cluster.nodes())
            if self._local and not self._nodes[1]:  # what is started now would wait for ever
                raise in_a_line(LocalRayletDiedError(), 1)
        return self._nodes[1]

    def _deal(self) -> list[Job]:
        """The gathered calls, those of one group in as many jobs of like size as there are places for them."""
        groups: dict[Any, list[Job]] = {}
        for job in self._gathered:
            groups.setdefault(job.call.group, []).append(job)
        self._gathered.clear()
        hands = []
        for jobs in groups.values():
            resources = jobs[0].call.resources
            hands += dealt(jobs, max(1, room(resources, totals(self._living(), [resources]))))
        self._open |= set(hands)
        self._open -= {job for jobs in groups.values() for job in jobs}
        return hands

    def _accept(self, job: Job, *, again: bool = False) -> None:
        """Into the queue; what ran already comes first, and is not refused where a node may come back."""
        resources = job.call.resources
        living = self._living()
        short = lacking(resources, living)
        if short and (self._local or not (self._target.autoscale or again)):
            job.end(
                ResourceError(
                    f"{job.call.key} asks for {' and '.join(short)}; lower `resources`, or give a larger cluster with"
                    " --address (`autoscale: true` in a place file waits for machines that a cluster adds)"
                )
            )
            self._open.discard(job)
        elif short:
            self._hoping.append(job)
        else:
            self._wanted.add(resources)
            have = totals(living, self._wanted)
            self._resize(have)
            job.demand = _elastic(resources, have)
            self._devices.add(job, job.demand, first=again)

    def _start(self, job: Job) -> None:
        resources = job.call.resources
        self._running.add(job)
        self.account.begin(job, str(job.call.key), job.demand)
        if resources.sharded:
            job.begun()
            self._slots.end_idle(0)  # Ray places all processes of a gang at once
            self._gangs.append(
                threading.Thread(target=self._follow_gang, args=(job,), name=f"w2s-gang-{job.call.key}", daemon=True)
            )
            self._gangs[-1].start()
        elif job.call.handling.member and not self._joined:  # a trial of Tune's has no experiments of its own
            job.begun()
            self._join_members(job)
        else:
            self._run(job, resources)

    def _run(self, job: Job, resources: Resources) -> None:
        """As a task, or in a process that keeps its GPUs."""
        anywhere = "DEFAULT" if self._joined else None  # not in what this process itself was given
        if resources.num_gpus:
            job.slot = self._slots.take(resources, anywhere)
            job.ref = job.slot.run(job.call)
        else:
            how = options(resources) | {"name": str(job.call.key)}
            job.ref = _execute.options(**how, scheduling_strategy=anywhere).remote(job.call)
        job.begun()
        job.ref.future().add_done_callback(lambda done: self._inbox.put(("done", job)))

    def _follow_gang(self, job: Job) -> None:
        """In a thread of the gang's own, for Ray Train blocks until it has ended."""

        def lost(said: str, seconds: float) -> None:
            self._inbox.put(("lost", (job, said, seconds)))

        try:
            run_gang(job.call, lost)
        except BaseException as error:  # noqa: BLE001  (whatever it is, the future must learn it)
            job.errors = error
        self._inbox.put(("done", job))

    def _join_members(self, job: Job) -> None:
        """The experiment of its device request, or a new one."""
        from w2s_ray.runtime.members import Members  # Ray Tune takes a second to import

        done = partial(self._follow_member, job)

        def lost(said: str) -> None:
            self._inbox.put(("lost", (job, said, None)))

        members = self._members.get(job.call.resources)
        if members is None or not members.put(job.calls, done, lost):
            members = self._members[job.call.resources] = Members(job.call.resources)
            self._experiments.append(members)
            members.put(job.calls, done, lost)

    def _follow_member(self, job: Job, errors: Errors) -> None:
        """From a thread of its experiment."""
        job.errors = errors
        self._inbox.put(("done", job))

    def _lose(self, job: Job, cause: account.Cause, said: str, seconds: float | None = None) -> None:
        self.account.lose(job, cause, redacted(said, {**os.environ, **self._target.env}), seconds)

    def _end(self, job: Job) -> None:
        self._running.discard(job)
        self._devices.release(job.demand)
        errors = job.errors
        try:
            if job.slot is not None:
                self._slots.give(job.slot, job.ref)
            if job.ref is not None:
                ray.get(job.ref)
        except RayTaskError as error:
            errors = error.cause if isinstance(error.cause, Exception) else error
        except RayError as error:
            if self._again(job, error):
                return
            errors = in_a_line(error, job.lost)
            if isinstance(error, LocalRayletDiedError):  # nothing that is started now would end
                self._settle(job, errors)
                raise errors from None
        self._settle(job, errors)

    def _settle(self, job: Job, errors: Errors) -> None:
        """Count what a job did, and tell those who wait for it how it ended."""
        raised = [errors] if isinstance(errors, BaseException) else [error for error in errors if error is not None]
        for_nothing = isinstance(errors, BaseException) or len(raised) == len(job.calls)
        if for_nothing and not isinstance(raised[0], (WorkerLost, GangLost)):  # these are counted
            self._lose(job, account.cause_of(raised[0]), str(raised[0]))
        self.account.end(job)
        job.end(errors)
        self._open.discard(job)

    def _again(self, job: Job, error: RayError) -> bool:
        """Whether a job whose process was lost runs once more, before all that waits. Ray itself would not tell that it
        was lost, and would start it on what is not free."""
        if job.recalled:
            return self._put_back(job)
        cause = cause_of(error)
        if cause == "node" and names_one_of(self._leaving, str(error)):
            cause = "preemption"
        self._lose(job, cause, str(error))
        # Ray may hand a step to a node that it has just lost, until it knows: one dead node counts once.
        same_node = cause == "node" and time.monotonic() - job.lost_at < KNOWN_S
        job.lost += cause != "preemption" and not same_node
        if cause == "node" and not same_node:
            job.lost_at = time.monotonic()
        if self._stopped or job.lost > job.call.resources.retries or isinstance(error, LocalRayletDiedError):
            return False  # the last: this machine's own Ray is no more
        return self._put_back(job, later=cause in ("node", "preemption"))

    def _put_back(self, job: Job, *, later: bool = False) -> bool:
        """Into the queue; `later`, at the next look."""
        self.account.end(job)
        job.ref, job.slot, job.recalled = None, None, False
        self._nodes = (-math.inf, [])  # one of them may be gone, with processes of ours that have no work
        self._slots.end_idle(0)
        if later:
            self._hoping.append(job)
        else:
            self._accept(job, again=True)
        return True

    def _stop(self) -> None:
        self._stopped = True
        waiting = self._devices.withdraw()
        for job in self._running:
            self.account.lose(job, "stopped", "the run was stopped")
            self.account.end(job)
            if job.slot is not None:
                job.slot.end()
            elif job.ref is not None:
                ray.cancel(job.ref, force=True)
        for job in (*self._running, *waiting, *self._hoping, *self._gathered):
            job.end(Interrupted("the run was stopped"))


def _elastic(resources: Resources, have: dict[str, float]) -> dict[str, float]:
    """Of as many processes as the cluster has room for, between the fewest and the most."""
    return demand(resources, min(resources.most, max(resources.fewest, room(resources, have))))


@ray.remote
def _execute(call: Call) -> None:
    with captured() as tail:
        (error,) = execute_dealt([call], tail, NodeWatch())
    if error is not None:
        raise error
