"""`Context`: connects methods with the executor that runs their steps.

`submit` takes a step, its parameters and its inputs (other handles), and returns a handle at once. A key that is in the
store is done. Any other is launched when its inputs are done and this driver holds its lease; while another driver
holds the lease, it is waited for. One thread (the scheduler) makes all these decisions, so that only the table of nodes
needs a lock.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from w2s_ray.core.errors import (
    GONE,
    BudgetSpent,
    DamagedArtifact,
    InputError,
    Interrupted,
    OutOfMemory,
    Planned,
    ResourceError,
    StepFailed,
    StoreError,
    W2SError,
)
from w2s_ray.core.resources import Resources
from w2s_ray.engine.account import HOUR_S, Ledger, keep, ledgers
from w2s_ray.engine.events import Event, ProgressEvent, Sink, Sinks, StepEvent, WaitEvent, What, parse_progress
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.fingerprint import Key, Params
from w2s_ray.engine.handle import POLL_MIN_S, REPAIRS, Handle, HandleInputs, Node, RiderSpec, Submission, keys_of, needs
from w2s_ray.engine.lease import Leases
from w2s_ray.engine.progress import every_s, progress_name
from w2s_ray.engine.record import Failure, Record, key_names
from w2s_ray.engine.scheduler import Scheduler
from w2s_ray.engine.step import Call, Handling, Rider, Step
from w2s_ray.engine.store import Artifact, Store
from w2s_ray.engine.turns import Turns

logger = logging.getLogger(__name__)

TOLD = 8  # running steps in a heartbeat, those that run longest
POLL_MAX_S = 5.0  # longest interval between polls of a key that another driver makes
ACCOUNT_S = 2.0  # between looks at what the devices did
LEDGER_S = 30.0  # between writings of it, where nothing was lost


class Context:
    """One driver's view of a store and of an executor."""

    def __init__(
        self,
        store: Store,
        executor: Callable[[], Executor],
        *,
        sinks: Sequence[Sink] = (),
        leases: Leases | None = None,
        dry: bool = False,
        read_only: StoreError | None = None,
        name: str = "",
        budget_h: float = 0.0,
        about: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.store = store
        self.budget_h = budget_h  # device-hours after which the run stops; 0: none
        self.name = name  # of what is run, for those who look at the store
        self.leases = leases or Leases(store)
        self._tells = about  # more for the heartbeat
        self.leases.about, self.leases.on_stop = self._about, self.interrupt
        self.dry = dry  # `w2s plan`: only inline steps are launched
        self.read_only = read_only  # why nothing can be written; finished results can still be read
        self._make_executor = executor
        self._executor: Executor | None = None
        self._inline = InlineExecutor()
        self._sinks = Sinks(sinks)
        self._in_flight: dict[Key, Node] = {}  # running steps, whose progress is polled
        self._looking = False
        self._repairs: Counter[Key] = Counter()  # by damaged artifact: a step may have many damaged inputs
        self._nodes: dict[Key, Node] = {}
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._why_stopped = Interrupted("the run was stopped; the same command continues it")
        self._written = (0, 0.0)  # the ledger: losses in it, and when
        self.executed: list[Key] = []
        self.reused: set[Key] = set()
        self.failed: dict[Key, BaseException] = {}
        self.turns = Turns(at_once=not store.local)  # a remote store's answers are worth waiting for together
        self._scheduler = Scheduler("w2s-scheduler", self._abort)

    # --- what the verbs call ---

    def submit(
        self, step: Step, params: Params, inputs: HandleInputs | None = None, *,
        resources: Resources | None = None, handling: Handling | None = None, riders: Iterable[RiderSpec] = (),
    ) -> Handle:  # fmt: skip
        """The handle of a step's result. The handling of several submissions of one key is joined."""
        with self._lock:
            node, new = self._node(step, params, dict(inputs or {}), resources or Resources(), None)
            node.handling = node.handling.joined(handling or Handling())
            handle = Handle(self, node)
            # The riders are registered before anything can be launched, so that one call makes them all.
            wanted = [
                self._node(spec.step, spec.params, {**spec.inputs, spec.via: handle}, node.resources, node)
                for spec in riders
            ]
            fresh = [rider for rider, is_new in wanted if is_new]
            node.riders |= {rider.key: rider for rider in fresh}
        there = [self._reuse(each) for each in ([node] if new else []) + fresh]
        if not all(there):
            self.turns.all_at_once()
            self._scheduler.post(lambda: self._pump(node))
        return handle

    def ride(self, owner: Handle, spec: RiderSpec) -> Handle:
        """A rider of the owner's step, requested after the owner was submitted."""
        with self._lock:
            rider, new = self._node(
                spec.step, spec.params, {**spec.inputs, spec.via: owner}, owner.node.resources, owner.node
            )
            if new:
                owner.node.riders[rider.key] = rider
        if new and not self._reuse(rider):
            self.turns.all_at_once()
            self._scheduler.post(lambda: self._pump(owner.node))
        return Handle(self, rider)

    def adopt(self, key: Key, maker: Handle | None = None) -> Handle:
        """A handle for a stored result without a step of its own: published by `maker` beside its own result, or by the
        driver."""
        step = Step(key.step, 0, "", lambda params, inputs: key.slug)
        with self._lock:
            new = key not in self._nodes
            node = self._nodes.setdefault(
                key, Node(key, step, {}, {}, Resources(), maker=maker.node if maker else None)
            )
        if new and not self._reuse(node):
            if maker is None:
                raise StoreError(f"{key} is not in the store {self.store.url}")
            self.turns.all_at_once()
            self._scheduler.post(lambda: self._remake(node))  # its maker's record names it, so it has existed
        return Handle(self, node)

    def show(self) -> None:
        """Begin the heartbeat, so that others see this driver before it makes anything."""
        if self.read_only is None:
            self.leases.begin()

    @contextmanager
    def hold(self, key: Key) -> Iterator[None]:
        """Hold the lease of a key that the driver makes itself. Waits while another driver holds it."""
        if self.read_only is not None:
            raise self.read_only
        poll_s, told = POLL_MIN_S, False
        while (holder := self.leases.acquire(key)) is not None:
            if not told:
                self._tell("leased", key, f"another driver (process {holder.pid}) is making it")
            told = True
            if self._stopped.wait(poll_s):
                raise self._why_stopped
            poll_s = min(POLL_MAX_S, poll_s * 1.5)
        try:
            yield
        finally:
            self.leases.release(key)

    def _node(
        self, step: Step, params: Params, inputs: dict[str, Any], resources: Resources, owner: Node | None
    ) -> tuple[Node, bool]:
        """The node of a key, and whether it is new to this run."""
        key = step.key(params, keys_of(inputs))
        with self._lock:
            if (known := self._nodes.get(key)) is not None:
                return known, False
            node = self._nodes[key] = Node(key, step, dict(params), inputs, resources, owner=owner)
            return node, True

    def _reuse(self, node: Node) -> bool:
        """Any thread: whether nothing is left to do for a node, because the store has its result, or because the store
        cannot be read (then the handle gets the error)."""
        try:
            record = self.store.record(node.key)
        except DamagedArtifact:
            self._tell("damaged", node.key, "its record cannot be read: set aside, to be made again")
            self.store.set_aside(node.key)
            return False
        # each store's client has errors of its own, and whoever waits must get them
        except Exception as error:  # noqa: BLE001
            self._fail(node, (), error)
            return True
        if record is not None:
            self._resolve(node, record, "hit")
        return record is not None

    # --- the scheduler: everything below runs in its thread, unless said otherwise ---

    def _pump(self, node: Node) -> None:
        """Advance a node by one stage. An error fails this node and no other."""
        try:
            self._advance(node)
        except Exception as error:  # noqa: BLE001  (an unreachable store, a full disk, a Ray that does not start)
            self._fail(node, (), error)

    def _advance(self, node: Node) -> None:
        """Wait for the node's inputs, acquire its lease, launch it."""
        if node.running is not None:
            return
        ended = node.future.done()
        with self._lock:
            node.riders = {rider.key: rider for rider in node.riders.values() if not rider.future.done()}
            # A rider may need another result of its owner; it then waits until the owner is done.
            riders = tuple(rider for rider in node.riders.values() if ended or not needs(rider, node))
        if ended and not riders:
            return
        if self._stopped.is_set() or (ended and node.future.exception() is not None):
            self._fail(node, riders, node.future.exception() if ended else None)
            return
        if (error := self._wait_for(node, node)) is not None:
            self._fail(node, riders, error)
        if self._waiting(node) or error is not None:
            return
        for rider in riders:
            if (error := self._wait_for(rider, node)) is not None:
                self._fail(rider, (), error)
            elif self._waiting(rider, node):
                return
        if self.dry and not node.step.inline:
            self._fail(node, riders, Planned(f"{node.key} would run"))
            return
        if self.read_only is not None:
            self._fail(node, riders, self.read_only)
            return
        holder = self.leases.acquire(node.key)
        if holder is not None:
            node.holder = holder
            self._tell("leased", node.key, f"another driver (process {holder.pid}) is making it")
            self._scheduler.later(node.poll_s, lambda: self._poll(node))
            node.poll_s = min(POLL_MAX_S, node.poll_s * 1.5)
            return
        riders = self._still_missing(node, tuple(rider for rider in riders if not rider.future.done()))
        if (node.future.done() and not riders) or self._adopt_failure(node, riders):
            self.leases.release(node.key)
            return
        self._launch(node, riders)

    def _wait_for(self, node: Node, owner: Node) -> BaseException | None:
        """Advance `owner` again when the first unfinished input of `node` is done; returns the error of an input that
        failed."""
        for handle in node.handles():
            if handle.node is owner:
                continue
            if not handle.node.future.done():
                self._tell("queued", owner.key, f"waits for {handle.key}")
                handle.node.future.add_done_callback(lambda _: self._scheduler.post(lambda: self._pump(owner)))
                return None
            if (error := handle.node.future.exception()) is not None:
                return error
        return None

    def _waiting(self, node: Node, owner: Node | None = None) -> bool:
        return any(not handle.node.future.done() for handle in node.handles() if handle.node is not owner)

    def _poll(self, node: Node) -> None:
        """Check whether another driver has made the key."""
        with self._lock:
            riders = tuple(node.riders.values())
        self._still_missing(node, riders)
        self._pump(node)

    def _still_missing(self, node: Node, riders: tuple[Node, ...]) -> tuple[Node, ...]:
        """Resolve the results that have appeared in the store; returns the riders that have not."""
        if not node.future.done():
            self._reuse(node)
        missing = tuple(rider for rider in riders if not self._reuse(rider))
        with self._lock:
            node.riders = {rider.key: rider for rider in node.riders.values() if not rider.future.done()}
        return missing

    def _adopt_failure(self, node: Node, riders: tuple[Node, ...]) -> bool:
        """Whether the driver that held the lease has failed at the key. Its failure is then this node's too, so that a
        step is not tried twice in one run."""
        failure = self.store.failure(node.key) if node.holder is not None else None
        if node.holder is None or failure is None or failure.driver != node.holder.driver:
            return False
        self._fail(
            node, riders, StepFailed(node.step.name, str(node.key), failure.error, failure.traceback, failure.log)
        )
        return True

    def _launch(self, node: Node, riders: tuple[Node, ...]) -> None:
        call = Call(
            self.store.url, node.key, node.step.name, node.step.version, node.step.entry, node.params,
            keys_of(node.inputs), node.resources,
            self.leases.holder.driver, node.handling,
            tuple(Rider(r.key, r.step.name, r.step.version, r.params, keys_of(r.inputs)) for r in riders),
        )  # fmt: skip
        node.running, node.began = riders, None
        self._tell("queued", node.key, "waits for a free device")
        if self._executor is None and not node.step.inline:
            self._executor = self._make_executor()
            self._executor.on_wait(lambda why: self._sinks.tell(WaitEvent(why)))
            self._scheduler.later(ACCOUNT_S, self._look_at_account)
        executor = self._inline if node.step.inline or self._executor is None else self._executor
        future = executor.launch(call, lambda: self._begun(node))
        future.add_done_callback(lambda done: self._ended(node, done))

    def _ended(self, node: Node, done: Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        self._scheduler.post(lambda: self._finish(node, error))

    def _begun(self, node: Node) -> None:
        """Called from a thread of the executor, when the call starts."""
        node.began = time.monotonic()
        self._tell("running", node.key, "")
        if self._sinks and not node.step.inline:
            self._scheduler.post(lambda: self._follow(node))

    def _follow(self, node: Node) -> None:
        if node.running is None:
            return  # it has ended meanwhile
        self._in_flight[node.key] = node
        if not self._looking:
            self._looking = True
            self._scheduler.later(every_s(self.store), self._look_at_progress)

    def _look_at_progress(self) -> None:
        """Read the progress of running steps and pass it to the sinks, at intervals."""
        self._in_flight = {key: node for key, node in self._in_flight.items() if node.running is not None}
        for key in self._in_flight:
            try:
                progress = parse_progress(self.store.read(progress_name(key)) or b"")
            except Exception:
                logger.debug("the progress of %s cannot be read", key, exc_info=True)
                continue
            if progress:
                self._sinks.tell(ProgressEvent(key, progress))
        self._looking = bool(self._in_flight)
        if self._looking:
            self._scheduler.later(every_s(self.store), self._look_at_progress)

    def _finish(self, node: Node, error: BaseException | None) -> None:
        """Handle the end of a call: resolve its results or record why there are none, then advance the node for riders
        that were requested meanwhile."""
        riders, node.running = node.running or (), None
        self.leases.release(node.key)
        try:
            if isinstance(error, DamagedArtifact):
                self._repair_now(Key.parse(error.key), error.attempt)
            else:
                if error is None or self._all_there(node, riders):  # a process may be lost after its work was done
                    error = self._collect(node, riders)
                if error is not None:
                    self._fail(node, riders, self._recorded(node, error))
        except Exception as fault:  # noqa: BLE001  (as in _pump)
            self._fail(node, riders, fault)
        self._pump(node)

    def _all_there(self, node: Node, riders: tuple[Node, ...]) -> bool:
        return all(made.future.done() or self.store.has(made.key) for made in (*riders, node))

    def _collect(self, node: Node, riders: tuple[Node, ...]) -> BaseException | None:
        """Resolve a finished call's results; returns an error where one of them is missing."""
        for made in (*riders, node):
            if made.future.done():
                continue
            record = self.store.record(made.key)
            if record is None:
                return StepFailed(node.step.name, str(node.key), f"it ended without making {made.key}")
            self._resolve(made, record, "done")
        with self._lock:
            for rider in riders:
                node.riders.pop(rider.key, None)
        return None

    def _recorded(self, node: Node, error: BaseException) -> BaseException:
        """The error as a StepFailed with a failure record in the store. A worker writes its own; the driver writes that
        of a worker that died."""
        if isinstance(error, (StepFailed, Interrupted, InputError, ResourceError)):
            return error
        text = "".join(traceback.format_exception(error))
        failure = Failure(node.key.full, "", self.leases.holder.driver, f"{type(error).__name__}: {error}", text)
        with suppress(Exception):  # a store that is away must not hide the error
            self.store.fail(node.key, failure)
        if isinstance(error, OutOfMemory):
            return error  # its message is complete
        if isinstance(error, W2SError):
            return StepFailed(node.step.name, str(node.key), str(error), str(error))  # complete too
        return StepFailed(node.step.name, str(node.key), f"{type(error).__name__}: {error}", text)

    def _fail(self, node: Node, riders: Iterable[Node], error: BaseException | None) -> None:
        error = error or self._why_stopped
        with self._lock:
            waiting = {**node.riders, **{rider.key: rider for rider in riders}}
            node.riders = {}
            failed = [each for each in (node, *waiting.values()) if not each.future.done()]
            for each in failed:
                self.failed[each.key] = error
                each.future.set_exception(error)
        for each in failed:
            own = isinstance(error, StepFailed) and error.key == str(each.key)
            self._tell("failed" if own else "skipped", each.key, str(error))

    def _resolve(self, node: Node, record: Record, how: What) -> None:
        """Any thread: the node is done, with this record."""
        with self._lock:
            if node.future.done():
                return
            (self.reused.add if how == "hit" else self.executed.append)(node.key)
            node.future.set_result(record)
        self._tell(how, node.key, "")

    def _about(self) -> dict[str, Any]:
        """Any thread: what others are told of this driver."""
        now = time.monotonic()
        with self._lock:
            made, reused, failed = len(self.executed), len(self.reused), len(self.failed)
            launched = [node for node in self._nodes.values() if node.running is not None]
            begun = sorted((node.began, node.key) for node in launched if node.began is not None)
        counts = {"made": made, "reused": reused, "failed": failed, "waiting": len(launched) - len(begun)}
        spent = self._executor.account.spent / HOUR_S if self._executor is not None else 0.0
        running = {key.full: round(now - began, 1) for began, key in begun[:TOLD]}
        return {"name": self.name, **counts, "running": running, "device_hours": round(spent, 4), **self._tells()}

    # --- what the devices did ---

    def _look_at_account(self) -> None:
        """Stop when the budget is spent; write the ledger when something was lost, and now and then."""
        if self._executor is None or self._stopped.is_set():
            return
        spent_h = self._executor.account.spent / HOUR_S
        if self.budget_h and spent_h >= self.budget_h:
            said = f"the budget of {self.budget_h:g} device-hours is spent ({spent_h:.3g}); what is finished is kept"
            self.interrupt(BudgetSpent(f"{said}; to continue with as much again, run the same command"))
            return
        losses, written_at = self._written
        if self._executor.account.num_losses > losses or time.monotonic() - written_at > LEDGER_S:
            self._keep_ledger()
        self._scheduler.later(ACCOUNT_S, self._look_at_account)

    def _ledger(self, *, ended: bool = False) -> Ledger | None:
        if self._executor is None:
            return None
        return self._executor.account.ledger(self.leases.holder.driver, self.name, ended=ended)

    def _keep_ledger(self, *, ended: bool = False) -> None:
        """A store that is away for a moment loses an account of the work, not the work."""
        ledger = self._ledger(ended=ended)
        if ledger is not None and self.name and self.read_only is None:
            with suppress(Exception):
                keep(self.store, ledger)
            self._written = (len(ledger.losses) + ledger.more_losses, time.monotonic())

    def ledgers(self) -> list[Ledger]:
        """Of all drivers that worked on what this run is named after, this one last."""
        mine = self._ledger(ended=True)
        before: list[Ledger] = []
        with suppress(Exception):  # a store that is away for a moment must not cost the results
            before = [one for one in ledgers(self.store, self.name) if one.driver != self.leases.holder.driver]
        return [*before, *([mine] if mine is not None else [])]

    def open(self, key: Key) -> Artifact:
        """Any thread: a finished step's files."""
        return self.store.open(key)

    def params_of(self, key: Key) -> Params:
        """Any thread: the parameters of a step of this run; none of one that is not its own."""
        node = self._nodes.get(key)
        return {} if node is None else node.params

    def submitted(self) -> list[Submission]:
        """Every key of this run with what it was made from, for `w2s plan` and `w2s why`."""
        with self._lock:
            nodes = list(self._nodes.values())
        return [
            Submission(
                node.key,
                node.params,
                key_names(keys_of(node.inputs)),
                node.step.version,
                node.future.done() and node.future.exception() is None,
                node.resources,
                node.owner is not None,
            )
            for node in nodes
        ]

    # --- damage ---

    def repair(self, damaged: DamagedArtifact) -> None:
        """Any thread but the scheduler's: have a damaged artifact made again, or raise."""
        self.turns.all_at_once()
        done: Future[None] = Future()

        def repair() -> None:
            try:
                self._repair_now(Key.parse(damaged.key), damaged.attempt)
            except Exception as error:  # noqa: BLE001  (the thread that asked raises it)
                done.set_exception(error)
            else:
                done.set_result(None)

        self._scheduler.post(repair)
        done.result()

    def _repair_now(self, key: Key, attempt: str) -> None:
        """Set a damaged attempt aside and start making it again. Several readers that met the same damage share one
        repair."""
        node = self._nodes.get(key)
        if node is not None and not node.future.done():
            return  # it is being made again
        self._set_aside(key, attempt)
        if node is None or (node.owner is None and node.maker is None and not node.step.entry):
            raise StepFailed(
                key.step,
                str(key),
                "its files were damaged; it was set aside: run the same command again to have it made anew",
            )
        node.future = Future()
        if self._reuse(node):
            return  # another driver was faster
        self._remake(node)

    def _remake(self, node: Node) -> None:
        """Rerun the step that makes a missing artifact."""
        key = node.key
        self._repairs[key] += 1
        if self._repairs[key] > REPAIRS:
            often = f"it was damaged or gone {self._repairs[key]} times, each time it was made"
            self._fail(node, (), StepFailed(key.step, str(key), f"{often}; check the disk of the store"))
            return
        maker = node.maker or node.owner or node
        if node.owner is not None:
            with self._lock:
                maker.riders[key] = node
        if node.maker is not None:
            if maker.future.done():
                self.store.set_aside(maker.key)
                maker.future = Future()
            maker.future.add_done_callback(lambda _: self._scheduler.post(lambda: self._readopt(node)))
        self._pump(maker)

    def _set_aside(self, key: Key, attempt: str) -> None:
        """Set this attempt aside, unless a sound one has replaced it."""
        self.store.forget(key)
        try:
            record = self.store.record(key)
        except DamagedArtifact:
            record = None
        if attempt != GONE and (record is None or not attempt or record.attempt == attempt):
            self._tell("damaged", key, "a checksum does not match: set aside, to be made again")
            self.store.set_aside(key)

    def _readopt(self, node: Node) -> None:
        """After a maker was rerun: resolve what it publishes beside its own result, or fail with it."""
        if self._reuse(node):
            return
        error = node.maker.future.exception() if node.maker else None
        if error is not None:
            self._fail(node, (), error)
        else:
            self._remake(node)  # it was set aside after its maker had checked it

    # --- the end ---

    def _tell(self, what: What, key: Key, detail: str) -> None:
        self._sinks.tell(StepEvent(what, key, detail))

    def tell(self, event: Event) -> None:
        """Any thread: report an event from outside of the engine."""
        self._sinks.tell(event)

    def _abort(self, error: BaseException | None) -> None:
        """Fail all unfinished nodes, because the scheduler cannot go on (a full disk, an unreachable store, a stop):
        nobody may wait for ever."""
        for node in list(self._nodes.values()):
            if not node.future.done():
                self._fail(node, (), error)

    def interrupt(self, why: Interrupted | None = None) -> None:
        """Stop the run: unfinished handles raise Interrupted, and `close` will end running calls."""
        self._why_stopped = why or self._why_stopped
        self._stopped.set()
        self._scheduler.post(lambda: self._abort(None))

    def close(self) -> None:
        """Close the executors and release the leases. Running steps are ended after `interrupt`, awaited otherwise."""
        now = self._stopped.is_set()
        self._inline.close(now)
        if self._executor is not None:
            self._executor.close(now)
        self._scheduler.close()
        self._keep_ledger(ended=True)
        self.leases.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
