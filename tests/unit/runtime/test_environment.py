"""What joining Ray leaves in the process's environment."""

from __future__ import annotations

import os

import pytest

from w2s_ray.runtime.cluster import _settings

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
