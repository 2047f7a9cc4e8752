"""Fixtures of the tests that meet the package as a user does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from integration.face import Face
from integration.installed import Installed, install


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Face:
    monkeypatch.delenv("W2S_STORE", raising=False)
    return Face(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Face]:
    """A study that has run, for tests that only look at it."""
    with Face.of_module(tmp_path_factory, "finished") as face:
        ended = face.run()
        assert ended.code == 0, ended.err
        yield face


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package in an environment of its own."""
    return install(tmp_path_factory.mktemp("installed"))
