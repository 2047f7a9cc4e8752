"""What joining Ray leaves in the process's environment."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest

from w2s_ray.core.errors import ResourceError
from w2s_ray.core.secrets import redacted
from w2s_ray.runtime.cluster import Target, _settings, for_workers, forwarded, join

NICENESS = "RAY_worker_niceness"
WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"


def test_a_local_ray_takes_no_watcher_from_a_cluster_that_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor from one whose machines this process starts itself, which inherit its environment."""
    monkeypatch.delenv(WATCHER, raising=False)
    with _settings(local=True):
        assert os.environ[WATCHER] == "0"
        assert os.environ[NICENESS] == "0"
    assert WATCHER not in os.environ
    with _settings(local=False):
        assert WATCHER not in os.environ


@pytest.mark.parametrize("said", ["0", "1"])
def test_what_the_user_says_stands(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WATCHER, said)
    with _settings(local=True):
        assert os.environ[WATCHER] == said
    assert os.environ[WATCHER] == said


def test_what_the_job_gives_its_workers_is_not_given_again() -> None:
    """Ray refuses what a job and its driver both set."""
    job = {"runtime_env": {"working_dir": "gcs://x.zip", "env_vars": {"HF_TOKEN": "s3cret"}}}
    environ = {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(job)}
    ours = {"py_modules": ["/here"], "env_vars": {"HF_TOKEN": "s3cret", "HF_HOME": "/models"}}
    assert for_workers(ours, environ) == {"py_modules": ["/here"], "env_vars": {"HF_HOME": "/models"}}
    job["runtime_env"]["py_modules"] = ["gcs://y.zip"]
    environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(job)
    assert for_workers(ours, environ) == {"env_vars": {"HF_HOME": "/models"}}
    assert for_workers(ours, {}) == ours
    for other in ({}, {"runtime_env": None}):
        assert for_workers(ours, {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(other)}) == ours


def test_no_message_shows_a_secret() -> None:
    environ = {
        "HF_TOKEN": "hf_abc",
        "HF_TOKEN_2": "hf_abcdef",
        "AWS_SECRET_ACCESS_KEY": "k/+k",
        "MY_PASSWORD": "x",
        "HOME": "/r",
    }
    said = redacted("env {'HF_TOKEN': 'hf_abc', 'T': 'hf_abcdef', 'K': 'k/+k'} at /r with x", environ)
    assert said == "env {'HF_TOKEN': '***', 'T': '***', 'K': '***'} at /r with x"


def test_variables_of_this_machine_go_to_the_workers_by_their_first_letters() -> None:
    assert forwarded({"HF_HOME": "a", "AWS_REGION": "b", "HOME": "c", "W2S_CACHE": "d"}) == {
        "HF_HOME": "a", "AWS_REGION": "b", "W2S_CACHE": "d",
    }  # fmt: skip


def test_an_address_where_nobody_listens_is_refused_in_seconds() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ResourceError, match=f"no Ray cluster answers at '{address}'"):
            join(Target(address))
    assert time.monotonic() - started < 10


@pytest.mark.ray
def test_a_local_ray_listens_on_loopback_alone() -> None:
    import psutil
    import ray

    me = psutil.Process()
    others = set(me.children(recursive=True))  # of other tests
    assert join(Target())
    try:
        assert ray.get(ray.remote(lambda: 1).remote()) == 1
        addresses = {
            found.laddr.ip
            for process in (me, *set(me.children(recursive=True)).difference(others))
            for found in process.net_connections(kind="inet")
            if found.status == psutil.CONN_LISTEN
        }
    finally:
        ray.shutdown()
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
