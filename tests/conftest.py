"""Settings that must stand before torch and ray are imported, and the fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "DS_ACCELERATOR": "cpu",
}
os.environ.update(SETTINGS)
os.environ.pop("RAY_ADDRESS", None)
# Ray's workers import the toy steps too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(TESTS))

import pytest  # noqa: E402


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where toy steps note their starts."""
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.setenv("W2S_TEST_NOTES", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("W2S_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return str(tmp_path / "store")
