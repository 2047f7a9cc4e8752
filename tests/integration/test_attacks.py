"""What users, disks and other programs do to a run: it goes on, or ends with one line that says what to do."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from integration.face import Face

from w2s_ray.engine.store import Store


@pytest.mark.parametrize(
    "where", [pytest.param(("--local",), id="local"), pytest.param((), marks=pytest.mark.ray, id="ray")]
)
def test_a_terminal_that_closes_ends_nothing(face: Face, where: tuple[str, ...]) -> None:
    file = face.study({"seeds": [0]})
    process = subprocess.Popen(
        face.command("run", file, *where),
        cwd=face.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert (face.folder / "runs/small/results.json").is_file()


def test_a_hangup_stops_as_ctrl_c_does(face: Face) -> None:
    file = face.study({"task.pool": 2000, "train.strong.epochs": 50, "seeds": [0]})
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(face.command("run", file, "--local"), cwd=face.folder, env=os.environ, **pipes)
    assert process.stderr is not None
    assert any("done train/" in line for line in process.stderr)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in err


def test_runs_that_cannot_be_written_are_found_out_first(face: Face) -> None:
    (face.folder / "taken").write_text("")
    refusal = face.run({}, "--runs", str(face.folder / "taken")).refusal
    assert "--runs" in refusal
    assert "give another folder" in refusal
    assert not face.store.exists()


def test_a_finished_study_needs_no_writing(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    assert face.run({"seeds": [0]}).code == 0

    def full(self: Store, *args: Any, **kwargs: Any) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Store, "create", full)
    assert face.run({"seeds": [0]}).code == 0
    assert face.w2s("plan", "study.yaml").code == 0
    ended = face.run({"seeds": [7]})
    assert ended.code == 1
    assert "Read-only file system; give another one with --store" in ended.err
    assert "Traceback" not in ended.err


def test_a_loss_that_is_not_finite_is_one_line(face: Face) -> None:
    ended = face.run({"seeds": [0], "train.strong.lr": 1e38, "train.strong.epochs": 3, "train.strong.batch": 8})
    assert ended.code == 1
    assert "lower train.lr" in ended.err
    assert "Traceback" not in ended.err


def test_escape_codes_of_rows_are_shown_not_obeyed(face: Face) -> None:
    rows = face.rows("rows.jsonl", [{"text": f"\x1b]0;evil\x07\x1b[2J word {n}", "label": n % 2} for n in range(8)])
    ended = face.w2s("data", "show", rows)
    assert ended.code == 0
    assert "word" in ended.out
    assert "\x1b" not in ended.out + ended.err


@pytest.mark.parametrize("damage", ["", "{}", "[" * 2000, "\x00"])
def test_status_reads_what_it_can(face: Face, damage: str) -> None:
    assert face.run({"seeds": [0]}).code == 0
    for name in ("leases/aa.0", "train/x-000000000000/failure.json", "train/y-000000000000/record.json"):
        (face.store / name).parent.mkdir(parents=True, exist_ok=True)
        (face.store / name).write_text(damage)
    broken = face.folder / "runs/broken/results.json"
    broken.parent.mkdir()
    broken.write_text(damage)
    ended = face.w2s("status")
    assert ended.code == 0, ended.err
    assert "small" in ended.out
    assert "broken/results.json cannot be read" in ended.out
    assert face.w2s("why", "score").code in (0, 2)


def test_a_report_of_damaged_results_is_one_line(face: Face) -> None:
    folder: Path = face.folder / "runs/x"
    folder.mkdir(parents=True)
    for text in ("", "[]", json.dumps({"name": "x"}), "[" * 3000):
        (folder / "results.json").write_text(text)
        assert "results.json" in face.w2s("report", "x").refusal


def test_clean_lists_first_and_then_removes(face: Face) -> None:
    assert face.run({"seeds": [0]}).code == 0
    assert "nothing to remove" in face.w2s("clean").out
    (half := face.store / "train/x-000000000000/a0123456789ab/x.txt").parent.mkdir(parents=True)
    half.write_text("half")
    listed = face.w2s("clean").out
    assert "train/x-000000000000/a0123456789ab" in listed
    assert "`w2s clean --yes`" in listed
    assert half.exists()
    assert "removed 1" in face.w2s("clean", "--yes").out
    assert not half.parent.exists()
    assert face.run({"seeds": [0]}).code == 0
    assert face.results()["steps"]["executed"] == 0
