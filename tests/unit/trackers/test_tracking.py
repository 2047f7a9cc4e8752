"""The end of a run with several trackers, whose processes are small scripts here."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from w2s_ray.config.load import expand
from w2s_ray.core.plugins import build
from w2s_ray.trackers import feed
from w2s_ray.trackers.tracking import Told, Tracking

RAW = {
    "name": "x", "task": {"data": "world:topic"}, "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive"],
}  # fmt: skip
# Its `path` is where it notes each message; one whose path ends in "hangs" hears the first alone.
SCRIPT = """
import json, pathlib, sys, time
path = pathlib.Path(json.loads(next(sys.stdin))["tracker"]["path"])
path.write_text("hello\\n")
if path.name == "hangs":
    time.sleep(60)
for line in sys.stdin:
    path.write_text(path.read_text() + line)
    if '"leave"' in line:
        time.sleep(0.1)
        print('{"done": true}', flush=True)
        break
"""


def scripted() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def test_a_tracker_that_hangs_takes_no_other_ones_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_started", scripted)
    monkeypatch.setattr(feed, "MOST", 3)
    paths = [tmp_path / name for name in ("hangs", "second", "third")]
    trackers = [build("w2s_ray.trackers", {"type": "jsonl", "path": str(path), "wait": 1}) for path in paths]
    told = Told(expand(RAW, tmp_path), "digest", (), str(tmp_path / "store"), tmp_path, lasting=True)
    said: list[str] = []
    with Tracking(trackers, told, said.append) as tracking:
        deadline = time.monotonic() + 30
        while not all(path.is_file() and path.read_text() for path in paths) and time.monotonic() < deadline:
            time.sleep(0.02)
        for _ in range(3):
            tracking.trial("a trial", {"text": "x" * 100_000})  # more than a pipe holds, so that the queue fills
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert [path.read_text().endswith('{"what": "leave"}\n') for path in paths] == [False, True, True]
    assert len(said) == 1
    assert "it was not done 1 s after the end" in said[0]
