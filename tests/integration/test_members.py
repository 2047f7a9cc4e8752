"""Members of ensembles on the real Ray Tune: several in a process, each its own failure, and after each kind of loss no
finished one is trained again."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.test_gangs import on_ray
from integration.test_kills import attempts, finish, results, start, timeless
from studies import FIT, config, run, write_rows
from toys import ADD

from w2s_ray.core.errors import StepFailed
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import Handling
from w2s_ray.engine.store import open_store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
MANY = Handling(member=True)


def test_members_share_processes_and_each_fails_for_itself(store_url: str, notes: Path) -> None:
    """Also in an experiment that is begun again after it was drained."""
    half = Resources(cpus=0.5)
    with Context(open_store(store_url), lambda: on_ray(store_url)) as ctx:

        def member(number: int, resources: Resources = half, **more: Any) -> Handle:
            return ctx.submit(ADD, {"number": number, **more}, {}, resources=resources, handling=MANY)

        sound = [member(n) for n in range(6)]
        bad, killed = member(7, bad=True), member(8, kill=True)
        doomed = member(9, kill=True, resources=Resources(cpus=0.5, retries=0))
        assert [one.value["total"] for one in sound] == list(range(6))
        with pytest.raises(StepFailed, match="number 7 is bad"):
            bad.record()
        assert killed.value == {"total": 8}
        with pytest.raises(StepFailed):
            doomed.record()
        assert ctx.store.failure(doomed.key) is not None
        assert [member(n).value["total"] for n in range(10, 12)] == [10, 11]
    starts = [path.name.split(".")[1] for path in notes.glob("start.*")]
    assert len({path.read_text() for path in notes.glob("start.*")}) < len(starts)  # a process serves several members
    assert starts.count(bad.key.digest[:12]) == 1  # a mistake is not tried again
    assert starts.count(killed.key.digest[:12]) == 2


LONGER = {"epochs": 30, "lr": 0.01, "batch": 16, "pooling": "mean"}
BAG = {"type": "bagging", "members": 6}
ONE_BY_ONE = {"weak": {"fuse": False}}  # so that some are done and some are not


def wait_for_members(store: Path, count: int, alive: Any) -> dict[Path, Any]:
    """Until so many fits are done; what their folders then hold."""
    while len(done := list(store.glob("train/*/record.json"))) < count:
        time.sleep(0.05)
        assert alive()
    return {record.parent: attempts(record.parent) for record in done}


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_members_ends_at_once(tmp_path: Path) -> None:
    """A thread of Tune's that asked Ray for something after its end would take the process with it, and say 1."""
    write_rows(tmp_path)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config(BAG, train={"weak": LONGER | {"epochs": 3000}, "strong": FIT})))
    running = start(path, "store", "runs")
    while not list((tmp_path / "store").glob("train/*/a*")):
        time.sleep(0.2)
        assert running.poll() is None
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130, (tmp_path / "output.txt").read_text()


@pytest.mark.slow
def test_an_ensemble_whose_driver_is_killed_trains_only_what_it_lacks(tmp_path: Path) -> None:
    write_rows(tmp_path)
    raw = config(BAG, train={"weak": LONGER, "strong": FIT}, resources=ONE_BY_ONE)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    finish(start(path, "calm", "calm-runs", "--local"), path)
    process = start(path, "killed", "runs")
    finished = wait_for_members(tmp_path / "killed", 4, lambda: process.poll() is None)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finish(start(path, "killed", "runs"), path)
    assert not [folder.name for folder, before in finished.items() if attempts(folder) != before]
    assert timeless(results(path, "runs")) == timeless(results(path, "calm-runs"))


@pytest.mark.slow
def test_an_ensemble_loses_a_node_and_is_the_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.cluster_utils import Cluster

    write_rows(tmp_path)
    raw = config(BAG, train={"weak": LONGER, "strong": FIT}, resources=ONE_BY_ONE)
    calm = run(raw, tmp_path, str(tmp_path / "calm"))
    url = str(tmp_path / "store")
    ran: list[Any] = []
    study = threading.Thread(target=lambda: ran.append(run(raw, tmp_path, url, lambda: on_ray(url))))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        study.start()
        finished = wait_for_members(Path(url), 3, study.is_alive)
        cluster.remove_node(node, allow_graceful=False)
        study.join(timeout=450)
        assert ran
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert not [folder.name for folder, before in finished.items() if attempts(folder) != before]
    assert (ran[0].labels, ran[0].students) == (calm.labels, calm.students)
