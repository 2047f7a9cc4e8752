"""One suite for every executor: what `Context` may rely on, wherever the steps run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toys import ADD, LONG, TIMES

from w2s_ray.core.errors import ConfigError, Interrupted, ResourceError, StepFailed
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import Event, ProgressEvent, StepEvent, WaitEvent
from w2s_ray.engine.execute import execute_many
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.handle import Handle, RiderSpec
from w2s_ray.engine.step import Call, Handling, Stack
from w2s_ray.engine.store import Store, open_store


def _ray(url: str) -> Executor:
    from w2s_ray.runtime.executor import RayExecutor

    return RayExecutor(url)


EXECUTORS = {"inline": lambda url: InlineExecutor(), "ray": _ray}


heard: list[Event] = []


@pytest.fixture(params=[pytest.param("inline"), pytest.param("ray", marks=pytest.mark.ray)])
def ctx(request: pytest.FixtureRequest, store_url: str, notes: Path) -> Iterator[Context]:
    heard.clear()
    with Context(open_store(store_url), lambda: EXECUTORS[request.param](store_url), sinks=[heard.append]) as context:
        yield context


def test_a_graph_with_riders_failures_and_damage(ctx: Context, notes: Path) -> None:
    """One test, so that one Ray start serves all of it."""
    long = ctx.submit(LONG, {})
    for n in (100, 101):
        ctx.submit(ADD, {"number": n, "slow": 3})
    ones = [ctx.submit(ADD, {"number": n}) for n in range(12)]
    total = ctx.submit(ADD, {"number": 0}, {"all": tuple(ones)})
    owner = ctx.submit(ADD, {"number": 5}, {"x": total}, riders=[RiderSpec(TIMES, {"times": 3}, {"data": ones[0]})])
    early = ctx.ride(owner, RiderSpec(TIMES, {"times": 3}, {"data": ones[0]}))
    late = ctx.ride(owner, RiderSpec(TIMES, {"times": 4}, {"data": ones[0]}))
    bad = ctx.submit(ADD, {"number": 1, "bad": True})
    after = ctx.submit(ADD, {"number": 2}, {"x": bad})
    assert total.value == {"total": 66}
    assert (early.artifact().path / "number.txt").read_text() == "213"
    assert (late.artifact().path / "number.txt").read_text() == "284"
    with pytest.raises(StepFailed, match="number 1 is bad") as caught:
        after.record()
    assert "RuntimeError" in caught.value.traceback
    (ones[3].artifact().path / "number.txt").write_text("999")
    ctx.store._verified.clear()
    assert (ones[3].artifact().path / "number.txt").read_text() == "3"
    # Twelve, two, a bad one, a repaired one; the late rider comes with its owner or after it.
    assert len(list(notes.glob("start.*"))) in (18, 19)
    long.record()
    told = [event.progress for event in heard if isinstance(event, ProgressEvent) and event.key == long.key]
    assert told, "how far a step is"
    assert [progress["step"] for progress in told] == sorted(progress["step"] for progress in told)
    assert all(set(progress) == {"step", "steps", "loss"} for progress in told)
    waits = [event.why for event in heard if isinstance(event, WaitEvent)]
    if not isinstance(ctx._executor, InlineExecutor):  # where several run, others wait for their devices
        assert any("steps wait: add/n" in why and "CPU" in why and "held by " in why for why in waits), waits
    steps = [event.what for event in heard if isinstance(event, StepEvent) and event.key == long.key]
    assert steps[-2:] == ["running", "done"]
    assert not list(Path(ctx.store.root, long.key.path).glob("work/*")), "nothing of it stays"


def test_calls_of_a_group_are_computed_together_each_for_itself(ctx: Context, notes: Path) -> None:
    def group(name: str, numbers: Sequence[int], **more: bool) -> list[Handle]:
        handling = Handling(member=True, stack=Stack(name, "toys:add_many"))
        riders = [RiderSpec(TIMES, {"times": 2}, {})]
        return [
            ctx.submit(ADD, {"number": n, "bad": n == 3, **more}, riders=riders, handling=handling) for n in numbers
        ]

    sound, other = group("a", range(8)), group("b", [20, 21])
    assert [one.value["total"] for one in sound if one is not sound[3]] == [0, 1, 2, 4, 5, 6, 7]
    assert [one.value["total"] for one in other] == [20, 21]
    with pytest.raises(StepFailed, match="number 3 is bad"):
        sound[3].record()
    assert "RuntimeError" in ctx.store.failure(sound[3].key).traceback  # type: ignore[union-attr]
    assert len(list(ctx.store.finished("times"))) == 9
    sizes = [int(path.name.split(".")[1]) for path in notes.glob("together.*")]
    assert sum(sizes) in (8, 10)  # two on two places are each alone
    assert max(sizes) >= 4  # on two places eight are four and four
    lost = group("c", [30, 31], worse=True)
    for one in lost:
        with pytest.raises(StepFailed, match="all is lost"):
            one.record()
    assert len(list(Path(ctx.store.url).glob("add/*/a*"))) == 9  # attempts that failed left no folder


def test_what_is_done_of_a_group_is_not_done_again(store_url: str, notes: Path) -> None:
    """As when a process was lost after it had published some."""
    key = ADD.key({"number": 1}, {})
    call = Call(
        store_url,
        key,
        "add",
        1,
        ADD.entry,
        {"number": 1},
        {},
        Resources(),
        "me",
        Handling(stack=Stack("g", "toys:add_many")),
    )
    assert execute_many([call]) == [None]
    assert execute_many([call]) == [None]
    assert len(list(notes.glob("start.*"))) == 1


def test_a_call_of_a_group_that_cannot_begin_says_so() -> None:
    call = Call(
        "not/absolute",
        ADD.key({"number": 1}, {}),
        "add",
        1,
        ADD.entry,
        {},
        {},
        Resources(),
        "me",
        Handling(stack=Stack("g", "toys:add_many")),
    )
    executor = InlineExecutor()
    with pytest.raises(ConfigError, match="not absolute"):
        executor.launch(call, lambda: None).result(timeout=10)
    executor.close()


def test_a_stop_ends_running_steps(ctx: Context) -> None:
    slow = [ctx.submit(ADD, {"number": n, "slow": 0.3}) for n in range(8)]
    slow[0].record()
    ctx.interrupt()
    with pytest.raises(Interrupted):
        slow[-1].record()


@pytest.mark.ray
def test_ray_retries_a_killed_worker_and_refuses_what_cannot_fit(store_url: str, notes: Path) -> None:
    with Context(open_store(store_url), lambda: _ray(store_url)) as ctx:
        killed = ctx.submit(ADD, {"number": 1, "kill": True})
        doomed = ctx.submit(ADD, {"number": 2, "kill": True}, resources=Resources(retries=0))
        huge = ctx.submit(ADD, {"number": 3}, resources=Resources(gpus=8))
        assert killed.value == {"total": 1}
        with pytest.raises(ResourceError, match=r"8 GPU .the largest node has 0"):
            huge.record()
        with pytest.raises(StepFailed, match=r"failed: its process was lost \(.*resources.memory_gb") as caught:
            doomed.record()
        assert "\n" not in str(caught.value) + caught.value.traceback
        failure = ctx.store.failure(doomed.key)
        assert failure is not None and failure.driver == ctx.leases.holder.driver


@pytest.mark.ray
def test_when_ray_is_lost_nobody_waits_for_ever(store_url: str, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from w2s_ray.runtime import cluster
    from w2s_ray.runtime.executor import NODES_S

    def lost() -> list[dict[str, object]]:
        raise ConnectionError("the head is gone")

    with Context(open_store(store_url), lambda: _ray(store_url)) as ctx:
        ctx.submit(ADD, {"number": 1}).record()
        slow = ctx.submit(ADD, {"number": 2, "slow": 60})
        time.sleep(NODES_S)  # so long what the nodes have is remembered
        monkeypatch.setattr(cluster, "nodes", lost)
        for handle in (ctx.submit(ADD, {"number": 3}), ctx.submit(ADD, {"number": 4}), slow):
            with pytest.raises(StepFailed, match="the head is gone"):
                handle.node.future.result(timeout=60)


@pytest.mark.ray
@pytest.mark.slow
def test_a_raylet_that_dies_ends_all_that_is_open(
    store_url: str, notes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also what waited for a free core, and would otherwise be started on a Ray that starts nothing. What Ray has to
    say of it is not on standard output."""
    import psutil

    with Context(open_store(store_url), lambda: _ray(store_url)) as ctx:
        slow = [ctx.submit(ADD, {"number": n, "slow": 600}) for n in range(6)]
        while not list(notes.glob("start.*")):
            time.sleep(0.1)
        (raylet,) = [child for child in psutil.Process().children() if child.name() == "raylet"]
        raylet.kill()
        for handle in slow:
            with pytest.raises(StepFailed, match="Ray has died on the machine"):
                handle.node.future.result(timeout=90)
    told = capfd.readouterr()
    assert told.out == ""
    assert "Raylet is terminated" in told.err


def test_what_is_done_is_not_done_again(ctx: Context, notes: Path) -> None:
    """As when a driver was frozen, its lease was taken over, and it wakes with the call in its hand."""
    handle = ctx.submit(ADD, {"number": 7})
    handle.record()
    node = handle.node
    call = Call(ctx.store.url, node.key, "add", 1, ADD.entry, node.params, {}, node.resources, "a-driver-that-slept")
    with_ray = ctx._executor
    assert with_ray is not None
    with_ray.launch(call, lambda: None).result(timeout=60)
    assert len(list(notes.glob(f"start.{node.key.digest[:12]}.*"))) == 1  # a thread of the test before may still end
    assert len(list(Path(ctx.store.url).glob("add/*/a*"))) == 1


class _Away(Exception):
    """As a client of an object store raises: no OSError."""


def test_progress_that_cannot_be_written_or_read_fails_no_step(
    store_url: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def away(self: Store, name: str, data: bytes = b"") -> bytes | None:
        if name.endswith("progress.json"):
            seen.append(name)
            raise _Away("503 Slow Down")
        return whole[bool(data)](self, name, *([data] if data else []))

    whole = [Store.read, Store.write]
    monkeypatch.setattr(Store, "read", away)
    monkeypatch.setattr(Store, "write", away)
    with Context(open_store(store_url), InlineExecutor, sinks=[lambda event: None]) as context:
        long = context.submit(LONG, {})
        assert context.submit(ADD, {"number": 3}, {"none": ()}).value == {"total": 3}
        assert long.value == {}
    assert len(seen) > 2, "it was tried again"


@pytest.mark.ray
def test_ray_may_be_lost_while_the_last_step_runs(store_url: str, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing more will be launched, and the executor is being closed."""
    from w2s_ray.runtime import cluster, executor

    def lost() -> list[dict[str, object]]:
        raise ConnectionError("the head is gone")

    monkeypatch.setattr(executor, "REFRESH_S", 0.5)
    with Context(open_store(store_url), lambda: _ray(store_url)) as ctx:
        slow = ctx.submit(ADD, {"number": 1, "slow": 60})
        while not list(notes.glob("start.*")):
            time.sleep(0.1)
        monkeypatch.setattr(cluster, "nodes", lost)
    with pytest.raises(StepFailed, match="the head is gone"):
        slow.record()


@pytest.mark.ray
def test_steps_on_gpus_share_a_process_until_it_is_not_clean(
    store_url: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of GPUs that are not there: who gets which process is its own affair and ours."""
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 2, "GPU": 2}')
    gpu = Resources(gpus=1)

    def pids(*handles: Handle) -> list[str]:
        for handle in handles:
            handle.record()
        return [path.read_text() for handle in handles for path in notes.glob(f"start.{handle.key.digest[:12]}.*")]

    with Context(open_store(store_url), lambda: _ray(store_url), name="s") as ctx:
        both = pids(*(ctx.submit(ADD, {"number": n, "slow": 1}, resources=gpu) for n in range(2)))
        assert len(set(both)) == 2
        again = pids(*(ctx.submit(ADD, {"number": n, "slow": 1}, resources=gpu) for n in (2, 3)))
        assert set(again) == set(both), "the same processes"
        pids(ctx.submit(ADD, {"number": 4}, resources=Resources(gpus=2)))  # has what the idle ones held
        bad = ctx.submit(ADD, {"number": 5, "bad": True}, resources=gpu)
        with pytest.raises(StepFailed):
            bad.record()
        killed = ctx.submit(ADD, {"number": 6, "kill": True}, resources=gpu)
        assert killed.value == {"total": 6}
        after = pids(ctx.submit(ADD, {"number": 7}, resources=gpu))
        assert not set(after) & set(again)
        ledger = ctx.ledgers()[-1]
    assert [loss.cause for loss in ledger.losses] == ["error", "process"]
    assert ledger.busy["GPU"] >= 4
    assert ledger.there["GPU"] > ledger.busy["GPU"]


@pytest.mark.ray
@pytest.mark.parametrize("gpus", [0, 1])
def test_the_gpus_of_the_cluster_decide_what_auto_means(
    store_url: str, notes: Path, monkeypatch: pytest.MonkeyPatch, gpus: int
) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps({"CPU": 2, "GPU": gpus}))
    auto = Resources(gpus="auto")
    with Context(open_store(store_url), lambda: _ray(store_url)) as ctx:
        record = ctx.submit(ADD, {"number": 1}, resources=auto).record()
        assert record.resources == auto.settled(gpus).as_dict()
        assert record.resources["gpus"] == float(gpus)


def test_without_a_cluster_auto_is_settled_by_whoever_knows_the_machine_or_means_none(
    store_url: str, notes: Path
) -> None:
    with Context(open_store(store_url), InlineExecutor) as ctx:
        assert ctx.submit(ADD, {"number": 1}, resources=Resources(gpus="auto")).record().resources["gpus"] == 0.0


@pytest.mark.ray
@pytest.mark.slow
def test_an_autoscaler_hears_early_of_all_that_waits(store_url: str, notes: Path) -> None:
    """The cluster's own account of what is asked for, which its autoscaler reads; the test adds the machine."""
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.cluster_utils import Cluster

    from w2s_ray.runtime.cluster import Target
    from w2s_ray.runtime.executor import RayExecutor

    def asked(at_least: int) -> None:
        until = time.monotonic() + 30
        while True:
            demands = get_cluster_status(cluster.address).resource_demands.ray_task_actor_demand
            found = {
                tuple(sorted(one.bundle.items())): one.count for demand in demands for one in demand.bundles_by_count
            }
            if (count := found.get((("CPU", 1.0),), 0)) >= at_least and (at_least or not count):
                return
            assert time.monotonic() < until, found
            time.sleep(0.5)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**8})
    try:
        told: list[Event] = []
        target = Target(cluster.address, autoscale=True)
        with Context(open_store(store_url), lambda: RayExecutor(store_url, target), sinks=[told.append]) as ctx:
            handles = [ctx.submit(ADD, {"number": n, "slow": 3}) for n in range(4)]
            asked(4)
            assert not list(notes.glob("start.*"))
            cluster.add_node(num_cpus=1, object_store_memory=10**8)
            handles[0].record()
            asked(1)  # the others wait for the one machine, and are still asked for
            assert [handle.value["total"] for handle in handles] == [0, 1, 2, 3]
            asked(0)
        waits = [event.why for event in told if isinstance(event, WaitEvent)]
        assert any("4 steps wait for a machine: add/n0" in why and "largest node has 0 CPU" in why for why in waits)
    finally:
        cluster.shutdown()


@pytest.mark.ray
@pytest.mark.slow
def test_what_a_dead_node_alone_could_hold_waits_and_holds_up_nobody(store_url: str, notes: Path) -> None:
    from ray.cluster_utils import Cluster

    from w2s_ray.runtime.cluster import Target
    from w2s_ray.runtime.executor import RayExecutor

    def has_begun(count: int) -> None:
        until = time.monotonic() + 60
        while len(list(notes.glob("start.*"))) < count:
            assert time.monotonic() < until
            time.sleep(0.1)

    gadget = {"num_cpus": 1, "resources": {"gadget": 1}, "object_store_memory": 10**8}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
    try:
        node = cluster.add_node(**gadget)
        told: list[Event] = []
        executor = lambda: RayExecutor(store_url, Target(cluster.address))  # noqa: E731
        with Context(open_store(store_url), executor, sinks=[told.append], name="s") as ctx:
            asked = Resources(custom={"gadget": 1})
            choosy = ctx.submit(ADD, {"number": 1, "slow": 8}, resources=asked)
            has_begun(1)
            cluster.remove_node(node, allow_graceful=False)
            time.sleep(1)
            assert [ctx.submit(ADD, {"number": n}).value["total"] for n in (2, 3)] == [2, 3]
            until = time.monotonic() + 60
            while not any(isinstance(event, WaitEvent) and "wait for a machine: add/n1" in event.why for event in told):
                assert time.monotonic() < until
                time.sleep(0.2)
            assert ctx.submit(ADD, {"number": 4}).value["total"] == 4
            cluster.add_node(**gadget)
            assert choosy.value["total"] == 1
            assert {loss.cause for loss in ctx.ledgers()[-1].losses} == {"node"}
    finally:
        cluster.shutdown()
