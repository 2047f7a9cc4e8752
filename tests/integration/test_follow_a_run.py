"""A study that is followed by programs, and by people from elsewhere; in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.face import Ended, Face

from w2s_ray.cli.status import Status

NOT_FINITE = {"seeds": [0], "train.strong.lr": 1e38, "train.strong.epochs": 3, "train.strong.batch": 8}
LONG = {"train.strong.epochs": 400, "train.strong.batch": 2, "seeds": [0, 1]}


def objects(out: str) -> list[dict[str, Any]]:
    """Each line is one; anything else on standard output fails."""
    return [json.loads(line) for line in out.splitlines()]


# --- programs ---


def test_a_run_as_objects_ends_with_its_summary(face: Face) -> None:
    ended = face.run({"seeds": [0]}, "--json")
    found = objects(ended.out)
    assert ended.code == 0, ended.err
    assert {one["kind"] for one in found} == {"step", "cell", "end"}
    assert all(one["w2s"] == 1 and abs(one["at"] - time.time()) < 300 for one in found)
    assert [one["kind"] for one in found].index("end") == len(found) - 1
    end, folder = found[-1], face.folder / "runs/small"
    assert (end["name"], end["status"], end["exit_code"], end["error"]) == ("small", "done", 0, "")
    assert (end["report"], end["results"]) == (str(folder / "report.html"), str(folder / "results.json"))
    assert end["summary"] == face.results()["summary"]
    assert "gap recovered" in ended.err and "report: runs/small/report.html" in ended.err, "people are told too"


def test_what_fails_or_is_refused_has_an_end_too(face: Face) -> None:
    refused = face.run({"seeds": [0], "train.strong.lr": "fast"}, "--json")
    (end,) = objects(refused.out)
    assert (end["kind"], end["status"], end["exit_code"]) == ("end", "refused", 2)
    assert end["error"] in refused.refusal
    failed = face.run(
        {"seeds": [0], "train.strong.lr": 1e38, "train.strong.epochs": 3, "train.strong.batch": 8}, "--json"
    )
    end = objects(failed.out)[-1]
    assert (failed.code, end["status"], end["exit_code"]) == (1, "failed", 1)
    ((failure),) = end["failures"]
    assert failure["cells"] == 1 and "lower train.lr" in failure["error"]


def test_what_libraries_and_children_print_is_no_object(face: Face) -> None:
    code = (
        "import os, sys; from w2s_ray.reports.event_lines import objects; from w2s_ray.engine.events import WaitEvent\n"
        "with objects(True) as writer: print('a'); os.system('echo b'); os.write(1, b'c\\n'); writer(WaitEvent('x'))\n"
        "print('after')"
    )
    ended = face.process(code=code)
    first, after = ended.out.splitlines()
    assert (json.loads(first)["why"], after) == ("x", "after")
    assert sorted(ended.err.split()) == ["a", "b", "c"]


def test_who_reads_one_object_and_goes_leaves_the_study_alone(face: Face) -> None:
    process = subprocess.Popen(
        face.command("run", face.study({"seeds": [0]}), "--local", "--json"), cwd=face.folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert json.loads(process.stdout.readline())["w2s"] == 1
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0, err
    assert "gap recovered" in err
    assert "Traceback" not in err and "Broken" not in err
    assert face.results()["summary"]


def test_status_for_programs(finished: Face) -> None:
    (found,) = objects(finished.w2s("status", "--json").out)
    Status.model_validate(found)
    (run,) = found["runs"]
    assert (run["name"], run["cells"], sum(run["statuses"].values())) == ("small", 3, 3)
    assert abs(run["ended"] - time.time()) < 600
    (row,), (gap,) = finished.results()["summary"], run["gap_recovered"]
    assert (gap["median"], gap["seeds"]) == (row["pgr"]["median"], 3)
    assert "leave out --address" in finished.w2s("status", "--json", "--address", "http://x:1").refusal


# --- people, from elsewhere ---


@pytest.fixture
def background(face: Face) -> Iterator[Face]:
    """A user whose studies in the background are ended with the test."""
    yield face
    for process in driver_processes(face):
        os.kill(process, signal.SIGKILL)


def driver_processes(face: Face) -> list[int]:
    return [one["process"] for one in objects(face.w2s("status", "--json").out)[0]["drivers"]]


def detached(face: Face, changes: dict[str, Any]) -> Ended:
    return face.process("run", face.study(changes), "--local", "--detach", code="import w2s_ray.__main__")


def until(there: Any) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_study_in_the_background_is_watched_left_killed_continued_and_stopped(background: Face) -> None:
    face = background
    assert "train.strong.lr is 'fast'" in detached(face, {"train.strong.lr": "fast"}).refusal
    assert not face.store.exists(), "a mistake is told where it was made, and nothing is started"
    started = detached(face, LONG)
    assert started.code == 0, started.err
    said = (
        r"small runs, process \d+\. Watch: w2s attach small --store (\S+)   end: w2s stop small --store \1   log: \S+"
    )
    assert re.fullmatch(said, started.out.rstrip("\n")), started.out
    assert "small runs already (driver " in detached(face, LONG).refusal
    assert "w2s attach NAME --json" in face.w2s("run", "study.yaml", "--detach", "--json").refusal

    (elsewhere := face.folder / "elsewhere").mkdir()
    watch = {"cwd": elsewhere, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = face.command("attach", "small", "--store", str(face.store))
    left, stays = (subprocess.Popen(command, **watch) for _ in range(2))
    assert left.stderr is not None and re.match(r"\d\d:\d\d:\d\d  ", left.stderr.readline())
    left.send_signal(signal.SIGINT)
    _, err = left.communicate(timeout=60)
    assert left.returncode == 130
    assert f"small goes on. Watch: w2s attach small --store {face.store}" in err
    (process,) = driver_processes(face)

    os.kill(process, signal.SIGKILL)
    _, err = stays.communicate(timeout=20)
    assert stays.returncode == 1
    assert f"(process {process}) is gone" in err
    assert "what is finished is kept, and the same `w2s run` continues it" in err
    late = face.w2s("attach", "small")
    assert late.code == 1 and f"(process {process}) is gone" in late.err, "also said to who comes later"

    assert detached(face, LONG).code == 0, "the same command continues it"
    watched = subprocess.Popen([*command, "--json"], **watch)
    assert face.w2s("stop", "small").code == 0
    out, _ = watched.communicate(timeout=60)
    end = objects(out)[-1]
    assert (watched.returncode, end["kind"], end["status"], end["exit_code"]) == (130, "end", "stopped", 130)
    assert "w2s run study.yaml --local" in (face.folder / "runs/small/run.log").read_text()


def test_attach_ends_with_the_table_also_of_what_has_ended(background: Face) -> None:
    face = background
    assert detached(face, {"seeds": [0]}).code == 0
    ended, again = face.w2s("attach", "small"), face.w2s("attach", "small")
    assert (ended.code, again.code) == (0, 0), ended.err
    assert ended.out == again.out
    assert "gap recovered" in ended.out
    assert f"report: {face.folder}/runs/small/report.html" in ended.out
    assert "no driver of 'other' works on" in face.w2s("attach", "other").refusal
    assert driver_processes(face) == []


def test_the_end_of_what_failed_is_told_with_its_code(face: Face) -> None:
    assert face.run(NOT_FINITE).code == 1
    ended = face.w2s("attach", "small")
    assert ended.code == 1
    assert "lower train.lr" in ended.err and "[1 cells]" in ended.err


def test_a_terminal_that_closes_leaves_what_runs_in_the_background(background: Face) -> None:
    face = background
    file, master = face.study(LONG), -1
    process, master = pty.fork()
    if process == 0:  # in a terminal of its own, which hangs up when `master` is closed
        os.chdir(face.folder)
        shell = f"{sys.executable} -c 'import w2s_ray.__main__' run {file} --local --detach; sleep 60"
        os.execvp("sh", ["sh", "-c", shell])
    until(lambda: driver_processes(face))
    (driver,) = driver_processes(face)
    os.close(master)
    os.waitpid(process, 0)
    time.sleep(1)
    assert driver_processes(face) == [driver]
    assert os.getsid(driver) == driver
    assert face.w2s("stop", "small").code == 0


# --- a search, in its dashboard ---


@pytest.mark.skipif(importlib.util.find_spec("optuna_dashboard") is None, reason="optuna-dashboard is not installed")
@pytest.mark.ray
def test_the_journal_of_a_search_is_shown_by_optunas_dashboard(face: Face) -> None:
    search = {"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}, "sampler": "random", "trials": 2, "seeds": [0]}
    ended = face.w2s("tune", face.study({"seeds": [0], "tune": search}), "--json")
    assert ended.code == 0, ended.err
    found = objects(ended.out)
    assert [one["number"] for one in found if one["kind"] == "trial"] == [0, 1]
    assert (found[-1]["kind"], len(found[-1]["summary"])) == ("end", 1)
    journal = re.search(r"^Optuna's journal: (.*)$", ended.err, re.MULTILINE)
    assert journal is not None and Path(journal.group(1)).is_file()
    copy = face.folder / "runs/small/search/journal.log"
    assert copy.read_bytes() == Path(journal.group(1)).read_bytes()
    page = Path(__file__).parents[2].joinpath("docs/how-to/search.md").read_text(encoding="utf-8")
    assert "optuna-dashboard runs/hpo-topic/search/journal.log" in page
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dashboard = Path(sys.executable).with_name("optuna-dashboard")
    server = subprocess.Popen(
        [dashboard, str(copy), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}/api/studies"
        until(lambda: asked(url))
        (study,) = asked(url)["study_summaries"]
        trials = asked(f"{url}/{study['study_id']}")["trials"]
    finally:
        server.kill()
        server.wait()
    assert study["study_name"] == Path(journal.group(1)).parents[1].name
    assert [trial["state"] for trial in trials] == ["Complete", "Complete"]
    assert face.w2s("attach", "small").code == 0


def asked(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None
