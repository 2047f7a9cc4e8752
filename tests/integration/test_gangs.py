"""A study whose student is trained by two processes: the real Ray Train and DeepSpeed, on this machine's CPUs."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from studies import config, run, write_rows

from w2s_ray.config.load import expand
from w2s_ray.engine.context import Context
from w2s_ray.engine.store import open_store
from w2s_ray.study.run import run_cells

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
TWO: dict[str, Any] = {"resources": {"strong": {"workers": 2, "zero": 2, "cpus": 0.5, "checkpoint_every_s": 1.0}}}


def on_ray(store: str) -> Any:
    from w2s_ray.runtime.executor import RayExecutor

    return RayExecutor(store)


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
    assert sorted(fact.get("workers", 1) for fact in facts) == [1, 2, 2]
    assert not list((tmp_path / "two" / "train").glob("*/work/gang*"))  # checkpoints go when the fit is done


def test_more_than_the_cluster_has_is_refused_before_it_starts(tmp_path: Path) -> None:
    write_rows(tmp_path)
    url = str(tmp_path / "store")
    study = expand(config("naive", resources={"strong": {"workers": 500}}), tmp_path)
    with Context(open_store(url), lambda: on_ray(url)) as context:
        (ended,) = run_cells(study, context)
    assert ended.users
    assert "500 workers with 1 CPU each, 500 in all (the cluster has" in ended.error
    assert "lower `resources`" in ended.error


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path) -> None:
    write_rows(tmp_path)
    longer = {**TWO, "train": {"weak": {"epochs": 1, "lr": 0.01}, "strong": {"epochs": 30, "lr": 0.003, "batch": 16}}}
    calm = run(config("naive", **longer), tmp_path, str(tmp_path / "calm"), lambda: on_ray(str(tmp_path / "calm")))
    url = str(tmp_path / "killed")
    killed: list[int] = []
    killer = threading.Thread(target=_kill_a_worker, args=(Path(url), killed), daemon=True)
    killer.start()
    rough = run(config("naive", **longer), tmp_path, url, lambda: on_ray(url))
    killer.join(timeout=1)
    assert len(killed) == 1
    assert rough.students == calm.students
    store = open_store(url)
    assert any(store.open(key).record.value["facts"]["resumed_at"] > 0 for key in store.finished("train"))


def _kill_a_worker(store: Path, killed: list[int]) -> None:
    """SIGKILL one of the processes of the first gang that has a checkpoint."""
    while not killed:
        time.sleep(0.05)
        if list(store.glob("train/*/work/gang.json")):
            workers = [process for process in psutil.process_iter(["cmdline"]) if "RayTrainWorker" in " ".join(process.info["cmdline"] or [])]
            if workers:
                os.kill(workers[-1].pid, signal.SIGKILL)
                killed.append(workers[-1].pid)
