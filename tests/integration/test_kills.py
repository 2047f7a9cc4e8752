"""Drivers killed at random moments, and two drivers on one study: real processes, real Ray, through the command
line."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from studies import config, write_rows

W2S = [sys.executable, "-m", "w2s_ray"]
TIMELESS = ("seconds", "placement")


def study(folder: Path, **more: Any) -> Path:
    """A study of two methods and two seeds: ten trainings."""
    write_rows(folder)
    raw = config("naive", seeds=(0, 1), **more)
    raw["methods"] = ["naive", {"type": "naive", "name": "product", "loss": "product"}]
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def start(path: Path, store: str, runs: str, *options: str) -> subprocess.Popen[bytes]:
    command = [*W2S, "run", str(path), "--store", str(path.parent / store), "--runs", str(path.parent / runs), *options]
    with open(path.parent / "output.txt", "ab") as output:  # not a pipe: Ray's agents would hold it open after a kill
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def finish(process: subprocess.Popen[bytes], path: Path) -> None:
    assert process.wait(timeout=400) == 0, (path.parent / "output.txt").read_text()


def results(path: Path, runs: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path.parent / runs / "tiny" / "results.json").read_text())
    return found


def timeless(found: dict[str, Any]) -> Any:
    """What must not depend on how often the driver died."""
    cells = [{name: value for name, value in cell.items() if name not in TIMELESS} for cell in found["cells"]]
    return cells, [{name: value for name, value in row.items() if name != "placements"} for row in found["summary"]]


def commits(store: Path) -> Counter[str]:
    """How many whole attempts each key has: a second one would mean that a finished step ran again."""
    return Counter(str(path.parent) for path in store.glob("*/*/a*") if path.is_dir() and not path.name.startswith("."))


def kill_often(
    path: Path, kills: int, options: tuple[str, ...], shortest_s: float, longest_s: float
) -> dict[Path, tuple[list[str], int]]:
    """Kill the driver at random moments; where it finishes first, one result is taken away. Returns what was finished,
    as it was after the kill."""
    rng = random.Random(0)
    finished: dict[Path, tuple[list[str], int]] = {}
    for _ in range(kills):
        process = start(path, "store", "runs", *options)
        try:
            process.wait(timeout=rng.uniform(shortest_s, longest_s))
        except subprocess.TimeoutExpired:
            # Ray's two agents look for their dead parent about once a minute; all that computes must be gone at once.
            below = [
                child for child in psutil.Process(process.pid).children(recursive=True) if "Agent" not in child.name()
            ]
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            _, alive = psutil.wait_procs(below, timeout=30)
            alive = [
                child for child in alive if child.is_running() and "Agent" not in child.name()
            ]  # one that had just begun had no name yet
            assert not alive, "a dead driver's Ray must die with it"
        else:
            gone = rng.choice(sorted((path.parent / "store").glob("train/*/record.json")))
            gone.unlink()
            finished.pop(gone.parent, None)
        finished |= {
            record.parent: attempts(record.parent)
            for record in (path.parent / "store").glob("*/*/record.json")
            if record.parent not in finished
        }
    return finished


def attempts(folder: Path) -> tuple[list[str], int]:
    """What an artifact's folder holds and when that last changed: a step that ran again would have made an attempt
    there, even if it took it away."""
    return sorted(path.name for path in folder.iterdir() if path.name != "work"), folder.stat().st_mtime_ns


def check_after_kills(
    tmp_path: Path, kills: int, options: tuple[str, ...], shortest_s: float, longest_s: float
) -> None:
    path = study(tmp_path)
    finish(start(path, "undisturbed", "undisturbed-runs", "--local"), path)
    finished = kill_often(path, kills, options, shortest_s, longest_s)
    finish(start(path, "store", "runs", *options), path)
    assert finished, "the kills came after some step was done"
    again = [folder.name for folder, before in finished.items() if attempts(folder) != before]
    assert not again, "no finished step runs twice"
    assert timeless(results(path, "runs")) == timeless(results(path, "undisturbed-runs"))
    finish(start(path, "store", "runs", "--local"), path)
    assert results(path, "runs")["steps"]["executed"] == 0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_driver_on_ray_that_is_killed_six_times_ends_the_same(tmp_path: Path) -> None:
    check_after_kills(tmp_path, 6, (), 2.0, 22.0)


def test_two_drivers_started_together_share_the_work(tmp_path: Path) -> None:
    path = study(tmp_path)
    drivers = [start(path, "store", f"runs{n}", "--local") for n in range(2)]
    for driver in drivers:
        finish(driver, path)
    one, two = (results(path, f"runs{n}") for n in range(2))
    assert timeless(one) == timeless(two)
    finish(start(path, "alone", "runs-alone", "--local"), path)
    alone = results(path, "runs-alone")
    assert timeless(one) == timeless(alone)
    assert one["steps"]["executed"] + two["steps"]["executed"] == alone["steps"]["executed"]
    assert set(commits(tmp_path / "store").values()) == {1}
    assert not list((tmp_path / "store" / "leases").glob("*"))


@pytest.mark.ray
@pytest.mark.slow
def test_two_drivers_on_two_rays_share_the_work(tmp_path: Path) -> None:
    path = study(tmp_path)
    drivers = [start(path, "store", f"runs{n}") for n in range(2)]
    for driver in drivers:
        finish(driver, path)
    one, two = (results(path, f"runs{n}") for n in range(2))
    assert timeless(one) == timeless(two)
    assert set(commits(tmp_path / "store").values()) == {1}
