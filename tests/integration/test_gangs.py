"""A study whose student is trained by two processes: the real Ray Train and DeepSpeed, on this machine's CPUs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from gang_steps import GREEDY, HANG
from integration.test_kills import finish, start
from studies import config, run, write_rows

from w2s_ray.config.load import expand
from w2s_ray.core.errors import StepFailed
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.store import open_store
from w2s_ray.ops import verbs
from w2s_ray.study.run import run_cells

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
TWO: dict[str, Any] = {"resources": {"strong": {"workers": 2, "zero": 2, "cpus": 0.5, "checkpoint_every_s": 1.0}}}


def on_ray(store: str) -> Any:
    from w2s_ray.runtime.executor import RayExecutor

    return RayExecutor(store)


def beside(work: Callable[[], Any]) -> Future[Any]:
    """`work`, in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def wait(study: Future[Any]) -> None:
    """A moment, in which the study must go on; else why it did not."""
    time.sleep(0.1)
    assert not study.done(), study.result()


def assert_like(one: list[Any], other: list[Any]) -> None:
    assert one[0] == other[0]
    np.testing.assert_allclose(one[1:], other[1:], rtol=0, atol=1e-5)


def test_a_sharded_student_is_the_student_of_one_device(tmp_path: Path) -> None:
    write_rows(tmp_path)
    alone = run(config("naive"), tmp_path, str(tmp_path / "one"))
    url = str(tmp_path / "two")
    together = run(config("naive", **TWO), tmp_path, url, lambda: on_ray(url))
    assert together.executed == alone.executed  # where it runs is no part of any key
    assert_like(together.students["naive 0"], alone.students["naive 0"])
    store = open_store(url)
    facts = [store.open(key).record.value["facts"] for key in store.finished("train")]
    assert sorted(fact["workers"] for fact in facts) == [1, 2, 2]
    for fact in facts:
        assert set(fact["seconds"]) >= {"load", "train", "predict", "save"}
        assert fact["tokens_per_s"] > 0
        assert fact["mfu"] == "unknown device"
        assert len(fact["peak_memory_mb"]) == fact["workers"]
    assert all(fact["start_s"] > 0 and fact["ends"] == [] for fact in facts if fact["workers"] == 2)
    one = open_store(str(tmp_path / "one"))
    counted = [
        {fact["tokens"] for fact in (place.open(key).record.value["facts"] for key in place.finished("train"))}
        for place in (one, store)
    ]
    assert counted[0] == counted[1]  # of all processes
    assert not list((tmp_path / "two" / "train").glob("*/work/gang*"))  # checkpoints go when the fit is done


def test_more_than_the_cluster_has_is_refused_before_it_starts(tmp_path: Path) -> None:
    write_rows(tmp_path)
    url = str(tmp_path / "store")
    study = expand(config("naive", resources={"strong": {"workers": 500}}), tmp_path)
    with Context(open_store(url), lambda: on_ray(url)) as context:
        (ended,) = run_cells(study, context)
    assert ended.users
    assert "500 workers with 1 CPU each, 500 CPU in all (the cluster has" in ended.error
    assert "lower `resources`" in ended.error


@pytest.mark.slow
def test_a_process_that_hangs_ends_in_a_bounded_time_with_its_stack(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    started = time.monotonic()
    with Context(open_store(url), lambda: on_ray(url)) as context:
        handle = context.submit(HANG, {}, {}, resources=Resources(workers=2, cpus=0.5, retries=0, hang_s=5))
        with pytest.raises(StepFailed) as caught:
            handle.record()
    assert time.monotonic() - started < 90
    assert "_sleep_for_ever" in caught.value.log
    assert "process 1: no step ended in 5 s" in caught.value.log
    failure = open_store(url).failure(handle.key)
    assert failure is not None
    assert "_sleep_for_ever" in failure.log


@pytest.mark.slow
def test_where_memory_runs_out_half_as_many_tokens_go_at_once(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    resources = Resources(workers=2, cpus=0.5, micro_tokens=800)
    with Context(open_store(url), lambda: on_ray(url)) as context:
        value = context.submit(GREEDY, {"longest": 300}, {}, resources=resources).record().value
    assert value["micro_tokens"] == 400
    assert value["launch"]["halvings"] == [800]


LONGER: dict[str, Any] = {"weak": {"epochs": 1, "lr": 0.01}, "strong": {"epochs": 40, "lr": 0.003, "batch": 16}}
ONE_AT_A_TIME = {
    "strong": TWO["resources"]["strong"] | {"cpus": 1}
}  # so that the gang with the checkpoint is the one whose process is killed


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path) -> None:
    write_rows(tmp_path)
    calm = run(config("naive", train=LONGER), tmp_path, str(tmp_path / "calm"))
    url = str(tmp_path / "killed")
    killed: list[int] = []
    killer = threading.Thread(target=_kill_a_worker, args=(Path(url), killed), daemon=True)
    killer.start()
    rough = run(config("naive", train=LONGER, resources=ONE_AT_A_TIME), tmp_path, url, lambda: on_ray(url))
    killer.join(timeout=1)
    assert len(killed) == 1
    assert_like(
        rough.students["naive 0"], calm.students["naive 0"]
    )  # to the last bit where the calm one is a gang too: tests/unit/backends
    store = open_store(url)
    (facts,) = [f for f in (store.open(key).record.value["facts"] for key in store.finished("train")) if f["resumed"]]
    (resumed,), (end,) = facts["resumed"], facts["ends"]
    assert resumed["step"] > 0
    assert resumed["since_checkpoint_s"] > 0
    assert 0 < end["after_s"] < facts["start_s"]  # the second start came after the first end
    assert end["cause"]


@pytest.mark.slow
def test_a_killed_driver_s_fit_goes_on_when_the_command_is_repeated(tmp_path: Path) -> None:
    write_rows(tmp_path)
    calm = run(config("naive", train=LONGER), tmp_path, str(tmp_path / "calm"))
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config("naive", train=LONGER, resources=ONE_AT_A_TIME)))
    process = start(path, "killed", "runs")
    while not list((tmp_path / "killed").glob("train/*/work/gang.json")):
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finish(start(path, "killed", "runs"), path)
    again = run(config("naive", train=LONGER), tmp_path, str(tmp_path / "killed"))
    assert again.executed == []
    assert_like(again.students["naive 0"], calm.students["naive 0"])
    store = open_store(str(tmp_path / "killed"))
    assert any(store.open(key).record.value["facts"]["resumed"] for key in store.finished("train"))


@pytest.mark.slow
def test_an_elastic_fit_grows_with_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins with the one process that there is room for; each node that comes takes one more, and what is learned
    is what one device learns."""
    import ray
    from ray.cluster_utils import Cluster

    write_rows(tmp_path)
    alone = run(config("naive"), tmp_path, str(tmp_path / "one"))
    monkeypatch.setattr(verbs, "TRAIN", replace(verbs.TRAIN, entry="gang_steps:train_patiently"))
    url = str(tmp_path / "grown")
    resources = {
        "strong": {"workers": [1, 3], "zero": 2, "cpus": 1, "checkpoint_every_steps": 2, "checkpoint_every_s": 1.0}
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        study = beside(lambda: run(config("naive", resources=resources), tmp_path, url, lambda: on_ray(url)))
        for workers in (1, 2):
            while workers not in _checkpoints(Path(url)):
                wait(study)
            cluster.add_node(num_cpus=1)
        ran = study.result(timeout=450)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert_like(ran.students["naive 0"], alone.students["naive 0"])
    store = open_store(url)
    facts = [store.open(key).record.value["facts"] for key in store.finished("train")]
    assert [2, 3] in [[entry["workers"] for entry in fact["resumed"]] for fact in facts]


@pytest.mark.slow
def test_a_fit_whose_machine_announces_its_leave_has_a_checkpoint_and_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is due by the clock. The machine is taken as soon as there is one, long before its notice has run out, and a
    third one has room."""
    import ray
    from ray.cluster_utils import Cluster

    write_rows(tmp_path)
    monkeypatch.setattr(verbs, "TRAIN", replace(verbs.TRAIN, entry="gang_steps:train_slowly"))
    url = str(tmp_path / "store")
    resources = {"strong": {"workers": 2, "zero": 1, "cpus": 1, "checkpoint_every_s": 1e6}}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    leaving = cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        study = beside(
            lambda: run(config("naive", train=LONGER, resources=resources), tmp_path, url, lambda: on_ray(url))
        )
        while not list(Path(url).glob("train/*/work/training")):
            wait(study)
        notice = [
            "--reason",
            "DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message",
            "the test",
            "--deadline-remaining-seconds",
            "120",
        ]
        ray_command = [
            str(Path(sys.executable).parent / "ray"),
            "drain-node",
            "--address",
            cluster.address,
            "--node-id",
            leaving.node_id,
            *notice,
        ]
        subprocess.run(ray_command, check=True, capture_output=True)
        cluster.add_node(num_cpus=1)
        while not _checkpoints(Path(url)):
            wait(study)
        cluster.remove_node(leaving, allow_graceful=False)
        study.result(timeout=450)
    finally:
        ray.shutdown()
        cluster.shutdown()
    store = open_store(url)
    facts = [store.open(key).record.value["facts"] for key in store.finished("train")]
    resumed = [entry for fact in facts for entry in fact["resumed"]]
    assert resumed
    assert all(entry["step"] > 0 and entry["workers"] == 2 for entry in resumed)


def _checkpoints(store: Path) -> list[int]:
    """Of how many processes the gangs are that have one."""
    return [
        json.loads(manifest.read_text())["value"]["checkpoints"][0]["pieces"]
        for manifest in store.glob("train/*/work/gang.json")
    ]


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _kill_a_worker(store: Path, killed: list[int]) -> None:
    """SIGKILL one of the processes of the first gang that has a checkpoint."""
    while not killed:
        time.sleep(0.05)
        if list(store.glob("train/*/work/gang.json")):
            ours = psutil.Process().children(recursive=True)  # other tests on this machine have workers too
            workers = [process for process in ours if "RayTrainWorker" in _command(process)]
            if workers:
                os.kill(workers[-1].pid, signal.SIGKILL)
                killed.append(workers[-1].pid)
