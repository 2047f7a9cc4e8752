"""What the commands print on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from pathlib import Path
from w2s_ray.cli.terminal import err, libraries_apart
with libraries_apart(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
    os.write(2, b"a line of C++\\n")
    print("a line of Python", file=sys.stderr)
    err.print("a line of ours")
os.write(2, b"after\\n")
print("later", file=sys.stderr)
"""


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_lines_of_libraries_go_to_a_file_and_ours_to_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "ray.log"
    assert run(str(file)).splitlines() == ["a line of Python", "a line of ours", "after", "later"]
    assert file.read_text() == "a line of C++\n"


def test_without_a_file_all_goes_to_the_terminal() -> None:
    assert set(run().splitlines()) == {"a line of C++", "a line of Python", "a line of ours", "after", "later"}


def test_a_file_that_stays_empty_is_removed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from w2s_ray.cli.terminal import libraries_apart

    with libraries_apart(tmp_path / "ray.log"):
        print("seen", file=sys.stderr)
    assert not (tmp_path / "ray.log").exists()
    assert capfd.readouterr().err == "seen\n"
