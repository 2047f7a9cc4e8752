"""What joining Ray leaves in the process's environment."""

from __future__ import annotations

import os

import pytest

from w2s_ray.runtime.cluster import WATCHER, _unwatched


def test_a_local_ray_takes_no_watcher_from_a_cluster_that_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor from one whose machines this process starts itself, which inherit its environment."""
    monkeypatch.delenv(WATCHER, raising=False)
    with _unwatched(local=True):
        assert os.environ[WATCHER] == "0"
    assert WATCHER not in os.environ
    with _unwatched(local=False):
        assert WATCHER not in os.environ


@pytest.mark.parametrize("said", ["0", "1"])
def test_what_the_user_says_stands(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WATCHER, said)
    with _unwatched(local=True):
        assert os.environ[WATCHER] == said
    assert os.environ[WATCHER] == said
