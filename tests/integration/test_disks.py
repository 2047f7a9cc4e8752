"""A store's disk that is full, or read-only, for a while: a real one, in memory. Needs root, to mount it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STUDY = {
    "name": "small",
    "task": {"data": "world:topic", "labelled": 100, "pool": 100, "test": 100},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive"],
    "train": {"weak": {"lr": 1e-3, "epochs": 30}, "strong": {"lr": 1e-3, "epochs": 30}},
    "seeds": [0, 1],
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60M", "none", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def read_only(disk: Path, on: bool) -> None:
    """Refused while a file is open for writing, so it is tried until it is granted."""
    how = f"remount,{'ro' if on else 'rw'}"
    until = time.monotonic() + 30
    while subprocess.run(["mount", "-o", how, str(disk)], capture_output=True).returncode:
        assert time.monotonic() < until
        time.sleep(0.02)


def full(disk: Path, on: bool) -> None:
    if not on:
        (disk / "filler").unlink()
        return
    with open(disk / "filler", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def run(study: Path, store: Path, runs: Path) -> subprocess.Popen[str]:
    words = ["run", str(study), "--store", str(store), "--runs", str(runs), "--local"]
    return subprocess.Popen(
        [sys.executable, "-m", "w2s_ray", *words], stderr=subprocess.PIPE, text=True, env=os.environ
    )


def numbers(runs: Path) -> list[list[float]]:
    cells = json.loads((runs / "small/results.json").read_text())["cells"]
    return [[cell[arm] for arm in ("floor", "student", "ceiling")] for cell in cells]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    return path


@pytest.fixture(scope="module")
def in_peace(study: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[float]]:
    folder = tmp_path_factory.mktemp("peace")
    ended = run(study, folder / "store", folder / "runs")
    _, err = ended.communicate(timeout=200)
    assert ended.returncode == 0, err
    return numbers(folder / "runs")


@pytest.mark.parametrize("fault", [read_only, full])
def test_a_disk_that_cannot_be_written_for_a_while(
    fault: Callable[[Path, bool], None], disk: Path, study: Path, tmp_path: Path, in_peace: list[list[float]]
) -> None:
    process = run(study, disk / "store", tmp_path / "runs")
    until = time.monotonic() + 120
    while len(list(disk.glob("store/train/*/record.json"))) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    fault(disk, True)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, "it ends, and says why"
    assert "free space there, or give another store with --store" in err
    assert "Traceback" not in err, err
    before = {path: path.read_bytes() for path in disk.glob("store/train/*/record.json")}
    fault(disk, False)
    again = run(study, disk / "store", tmp_path / "runs")
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert {path: path.read_bytes() for path in before} == before, "nothing that was finished is made again"
    assert numbers(tmp_path / "runs") == in_peace
