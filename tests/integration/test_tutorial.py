"""The tutorial, typed from top to bottom by somebody who installed the wheel."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration.installed import ROOT, Installed

TUTORIAL = ROOT / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"[Ss]ave\s+this\s+as\s+`([\w./-]+)`|^And\s+this\s+as\s+`([\w./-]+)`", re.MULTILINE)
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?")
NEAR = {"points": 6.0, "share": 0.06, "ratio": 0.3}  # how far from what is shown the measured may be


@dataclass(frozen=True)
class Command:
    text: str
    shown: tuple[str, ...]

    @property
    def stopped(self) -> bool:
        return "^C" in self.shown


@dataclass(frozen=True)
class Written:
    name: str
    text: str


def actions(page: str) -> Iterator[Command | Written]:
    """The files that are saved and the commands that are typed, in their order. A block that is neither is an error."""
    end = 0
    for block in BLOCK.finditer(page):
        before, end = page[end : block.start()], block.end()
        if re.search(r"<!-- not run by the test: .* -->\s*\Z", before):
            continue
        if block[1] == "console":
            yield from typed(block[2])
            continue
        names = ["".join(groups) for groups in FILE.findall(before)]
        assert names, f"this block has no file's name before it:\n{block[2]}"
        yield Written(names[-1], block[2])


def typed(block: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield Command(command, tuple(shown))


def alike(shown: str, line: str) -> bool:
    """The same words; whole numbers equal, measured ones near."""
    if [NUMBER.sub("N", word) for word in shown.split()] != [NUMBER.sub("N", word) for word in line.split()]:
        return False
    return all(close(*pair) for pair in zip(NUMBER.findall(shown), NUMBER.findall(line), strict=True))


def close(one: str, other: str) -> bool:
    """One decimal: points of accuracy; two: gap recovered; three: a share."""
    kind = {0: "", 1: "points", 2: "ratio"}.get(len(one.partition(".")[2]), "share")
    return abs(float(one) - float(other)) <= NEAR[kind] if kind else one == other


def expect(shown: tuple[str, ...], said: str) -> None:
    """Each line that is shown was said, in this order."""
    lines = iter(said.splitlines())
    for one in shown:
        if one not in ("…", "^C"):
            assert any(alike(one, line) for line in lines), f"not said: {one}\n{said}"


def run(command: Command, installed: Installed, folder: Path) -> tuple[int, str]:
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.text}"], cwd=folder, env={**installed.variables, "COLUMNS": "80"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if command.stopped:
        wait_for_a_training(process, folder)
        process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def wait_for_a_training(process: subprocess.Popen[str], folder: Path) -> None:
    before = trainings(folder)
    while trainings(folder) == before and process.poll() is None:
        time.sleep(0.02)


def trainings(folder: Path) -> int:
    return len(list(folder.glob("store/train/*/record.json")))


def test_a_line_is_the_same_line_with_other_measurements() -> None:
    assert alike("naive 67.9 % 0.78 [0.39, 0.87] 3", " naive   66.1 %   0.70 [0.39, 0.80]  3 ")
    assert not alike("naive 67.9 % 0.78 [0.39, 0.87] 3", "naive 67.9 % 0.78 [0.39, 0.87] 4")
    assert not alike("naive 67.9 % 0.78 [0.39, 0.87] 3", "naive 47.9 % 0.78 [0.39, 0.87] 3")
    assert not alike("naive 67.9 % 0.78 [0.39, 0.87] 3", "logconf 67.9 % 0.78 [0.39, 0.87] 3")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_works_from_top_to_bottom(installed: Installed, tmp_path: Path) -> None:
    done = 0
    for action in actions(TUTORIAL.read_text(encoding="utf-8")):
        if isinstance(action, Written):
            (tmp_path / action.name).parent.mkdir(exist_ok=True)
            (tmp_path / action.name).write_text(action.text, encoding="utf-8")
            continue
        code, said = run(action, installed, tmp_path)
        assert code == (130 if action.stopped else 0), f"{action.text}\n{said}"
        expect(action.shown, said)
        done += 1
    assert done > 15
    check_claims(tmp_path)


def check_claims(folder: Path) -> None:
    """What the prose says of the numbers."""
    first, second, reviews, sure = (
        json.loads((folder / "runs" / name / "results.json").read_text(encoding="utf-8"))
        for name in ("first", "second", "reviews", "sure")
    )
    assert all(cell["floor"] < cell["student"] < cell["ceiling"] for cell in (*first["cells"], *reviews["cells"]))
    probed = second["comparisons"]["pairs"][0]["difference"]
    assert probed["low"] < 0 < probed["high"]
    assert sure["comparisons"]["pairs"][0]["losses"] == 3
    of_the_first, after_a_probe, of_reviews, of_the_surest = 9, 3, 9, 3
    assert trainings(folder) >= of_the_first + after_a_probe + of_reviews + of_the_surest, "and those of the search"
    assert "verdict" in (folder / "reviews.csv").read_text(encoding="utf-8")
