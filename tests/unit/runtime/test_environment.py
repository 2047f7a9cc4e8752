"""What joining Ray leaves in the process's environment."""

from __future__ import annotations

import os

import pytest

from w2s_ray.runtime.cluster import WATCHER, _watch_for_leaving


def test_a_local_ray_takes_no_watcher_from_a_cluster_that_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WATCHER, raising=False)
    _watch_for_leaving(False)
    assert os.environ[WATCHER] == "0"
    _watch_for_leaving(False)
    _watch_for_leaving(True)
    assert WATCHER not in os.environ


@pytest.mark.parametrize("said", ["0", "1"])
def test_what_the_user_says_stands(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WATCHER, said)
    _watch_for_leaving(False)
    _watch_for_leaving(True)
    assert os.environ[WATCHER] == said
