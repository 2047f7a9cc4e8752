"""What Tab offers, asked as bash asks: at once, without a message, and without anything heavy."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from integration.face import Ended, Face

from w2s_ray.cli import complete
from w2s_ray.core.plugins import available
from w2s_ray.study.errors import WHERE

ASKED = "from w2s_ray.cli.app import main; main()"


def asked(face: Face, line: str, code: str = ASKED) -> Ended:
    words = line.split(" ")
    env = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_W2S_COMPLETE": "complete_bash"}
    return face.process(env=env, code=code)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("w2s re", ["report"]),
        ("w2s data ex", ["export"]),
        ("w2s run st", ["study.yaml"]),
        ("w2s plan ./st", ["./study.yaml"]),
        ("w2s run more/", ["more/other.yaml"]),
        ("w2s run mo", ["more/other.yaml"]),
        ("w2s run nothing", []),
        ("w2s report ", ["small"]),
        ("w2s compare small sm", ["small"]),
        ("w2s errors small --method ", ["naive"]),
        ("w2s errors small --weak world/n", ["world/nano"]),
        ("w2s errors small --seed ", ["0", "1", "2"]),
        ("w2s errors small --where co", ["copied", "corrected"]),
        ("w2s init --method probe_", ["probe_then_finetune"]),
        ("w2s report --runs elsewhere ", []),
    ],
)
def test_tab_offers_what_there_is_and_says_nothing(finished: Face, line: str, offered: list[str]) -> None:
    (finished.folder / "more").mkdir(exist_ok=True)
    (finished.folder / "more" / "other.yaml").touch()
    ended = asked(finished, line)
    assert (ended.code, ended.out.split(), ended.err) == (0, offered, "")


def test_keys_of_the_latest_results_are_offered(finished: Face) -> None:
    offered = asked(finished, "w2s why score/").out.split()
    assert offered == [cell["keys"]["score"] for cell in finished.results()["cells"]]


def test_results_that_cannot_be_read_offer_nothing(face: Face) -> None:
    for name, text in {"a": "{", "b": "[]", "c": '{"cells": [1, {"keys": 2}]}', "d": "[" * 100_000}.items():
        (face.folder / "runs" / name).mkdir(parents=True)
        (face.folder / "runs" / name / "results.json").write_text(text, encoding="utf-8")
    ended = asked(face, "w2s why ")
    assert (ended.code, ended.out.split(), ended.err) == (0, [], "")
    assert asked(face, "w2s report ").out.split() == ["a", "b", "c", "d"]


def test_tab_is_quick_and_imports_nothing_heavy(finished: Face) -> None:
    code = (
        "import atexit, os, sys, time; heavy = {'torch', 'ray', 'numpy', 'pyarrow', 'fsspec'};"
        " atexit.register(lambda: sys.stderr.write(f'{time.process_time()} {sorted(heavy & set(sys.modules))}'));"
    )
    for line in ("w2s run ", "w2s errors small --method ", "w2s why ", "w2s init --method "):
        found = [asked(finished, line, code + ASKED).err.split(maxsplit=1) for _ in range(3)]
        assert {loaded for _, loaded in found} == {"[]"}
        assert min(float(seconds) for seconds, _ in found) < 0.5, "of a processor, however much else it does"


def test_a_real_bash_completes(finished: Face, tmp_path: Path) -> None:
    """With the script that is shown, and a `w2s` on the path."""
    # Whatever shell the tests were started from, if any.
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "True"}
    script = finished.process("--show-completion", "bash", env=told).out
    w2s = tmp_path / "w2s"
    w2s.write_text(f"#!/bin/sh\nexec {finished.command()[0]} -c '{ASKED}' \"$@\"\n", encoding="utf-8")
    w2s.chmod(0o755)
    line = "COMP_WORDS=(w2s report sm); COMP_CWORD=2; _w2s_completion w2s; printf '%s\\n' \"${COMPREPLY[@]}\""
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{line}"], cwd=finished.folder, capture_output=True, text=True, timeout=60,
        check=True, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["small"], "")


def test_names_that_are_not_imported_are_those_of_the_code() -> None:
    assert tuple(WHERE) == tuple(sorted(WHERE, key=complete.SORTS.index)) and set(WHERE) == set(complete.SORTS)
    assert complete.methods("") == list(available("w2s_ray.methods"))
