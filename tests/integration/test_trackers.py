"""A study that every tracker is told of, each by its own library; and trackers that are down, hang, refuse."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest
import trackers_read
from integration.face import Face

LACKS = [name for name in ("tensorboard", "wandb", "mlflow") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(LACKS), reason=f"not installed: {LACKS}; pip install 'w2s_ray[trackers]'"),
    pytest.mark.filterwarnings("ignore"),  # of these libraries, where the test reads with them
]

ARMS = ("floor", "student", "ceiling", "pgr", "num_test")
BEGIN = ("small: a cell has failed", "small: ended: 1 cells, 1 failed")
FAILS = {"train.strong.lr": 1e30, "train.strong.clip": None, "train.strong.batch": 8}
PATIENT = {"wait": 100}  # the machine of a test may be slow


class Hook(BaseHTTPRequestHandler):
    """A webhook that keeps what it is told."""

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, said))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def webhook() -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.heard = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/services/T0/s3cret", server.heard  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def refused() -> str:
    """An address where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def hanging() -> Iterator[str]:
    """One that takes a connection and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def warnings(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("warning tracker")]


def without_times(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in cell.items() if name != "seconds"} for cell in results["cells"]]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterable[tuple[Face, list[Any]]]:
    """A study with all of them."""
    with Face.of_module(tmp_path_factory, "tracked") as face, webhook() as (url, heard):
        face.monkeypatch.setenv("OUR_HOOK", url)
        ended = face.run({"seeds": [0], **everything(face)})
        assert ended.code == 0, ended.err
        assert warnings(ended.err) == []
        yield face, heard


def everything(face: Face) -> dict[str, Any]:
    uri = f"sqlite:///{face.folder}/mlflow.db"
    wandb = {"type": "wandb", "mode": "offline", "project": "ours", **PATIENT}
    mlflow = {"type": "mlflow", "uri": uri, **PATIENT}
    track = [{"type": "jsonl", **PATIENT}, {"type": "tensorboard", **PATIENT}, wandb, mlflow]
    return {"track": [*track, {"type": "notify", "url": "$OUR_HOOK", **PATIENT}]}


def read_all(face: Face) -> dict[str, trackers_read.Read]:
    runs = face.folder / "runs/small"
    return {
        "jsonl": trackers_read.of_jsonl(runs / "track.jsonl"),
        "tensorboard": trackers_read.of_tensorboard(runs / "tensorboard"),
        "wandb": trackers_read.of_wandb(runs),
        "mlflow": trackers_read.of_mlflow(f"sqlite:///{face.folder}/mlflow.db", "small"),
    }


def events(face: Face, runs: str = "runs") -> list[dict[str, Any]]:
    lines = (face.folder / runs / "small/track.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_every_tracker_has_the_numbers_of_the_results_and_each_curve_once(tracked: tuple[Face, list[Any]]) -> None:
    face, heard = tracked
    (cell,) = face.results()["cells"]
    known = {event["run"]: event for event in events(face) if event["event"] == "run"}
    kinds = sorted(event["kind"] for event in known.values())
    assert kinds == ["cell", "fit", "fit", "fit", "study"]
    (cell_id,) = [run for run, event in known.items() if event["kind"] == "cell"]
    expected = {name: [(0, cell[name])] for name in ARMS if cell[name] is not None}
    found = read_all(face)
    for name, read in found.items():
        numbers = read[cell_id[:8] if name == "tensorboard" else cell_id]
        close = {metric: [(step, pytest.approx(v, rel=1e-6)) for step, v in one] for metric, one in expected.items()}
        assert {metric: numbers[metric] for metric in expected} == (close if name == "tensorboard" else expected), name
    for run in (run for run, event in known.items() if event["kind"] == "fit"):
        (key,) = [event["links"]["fit"] for event in events(face) if event["event"] == "end" and event["run"] == run]
        (log,) = (face.store / key).glob("a*/log.jsonl")
        curve = [(point["step"], point["loss"]) for point in map(json.loads, log.read_text().splitlines())]
        assert len(curve) >= 2
        assert [found[name][run]["loss"] for name in ("jsonl", "wandb", "mlflow")] == [curve] * 3
        assert found["tensorboard"][run[:8]]["loss"] == [(step, pytest.approx(v, rel=1e-6)) for step, v in curve]
    assert [path for path, _ in heard] == ["/services/T0/s3cret"]
    assert heard[0][1]["text"].startswith("small: ended: 1 cells, 0 failed")
    assert "world/nano -&gt; world/micro" in heard[0][1]["text"]


@pytest.mark.slow
def test_run_again_nothing_is_there_twice(tracked: tuple[Face, list[Any]]) -> None:
    face, _ = tracked
    before = read_all(face)
    again = face.w2s("run", "study.yaml", "--local")
    assert again.code == 0, again.err
    assert warnings(again.err) == []
    assert read_all(face) == before
    lines = [json.dumps(event, sort_keys=True) for event in events(face)]
    assert len(set(lines)) == len(lines)


@pytest.mark.slow
def test_no_secret_is_in_a_file_or_a_message(tracked: tuple[Face, list[Any]]) -> None:
    face, _ = tracked
    with webhook() as (url, _):
        face.study({"seeds": [0], "notify": url}, file="literal.yaml")
        ended = face.w2s("run", "literal.yaml", "--local", "--track", "jsonl")
        assert ended.code == 0
    assert "s3cret" not in ended.out + ended.err
    written = [path for path in face.folder.rglob("*") if path.is_file() and path.name != "literal.yaml"]
    assert [path for path in written if b"s3cret" in path.read_bytes()] == []
    assert "OUR_HOOK" not in (face.folder / "runs/small/config.resolved.yaml").read_text()


@pytest.mark.slow
def test_trackers_that_are_down_hang_or_refuse_are_said_once_each_and_change_nothing(
    face: Face, refused: str, hanging: str
) -> None:
    plain = face.run({"seeds": [0]})
    assert plain.code == 0, plain.err
    expected = without_times(face.results())
    (face.folder / "taken").write_text("a file where a folder should be")
    face.monkeypatch.setenv("WANDB_BASE_URL", refused)
    face.monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    track = [
        {"type": "mlflow", "uri": refused, "wait": 3},
        {"type": "mlflow", "uri": hanging, "experiment": "hangs", "wait": 3},
        {"type": "wandb", "folder": "w", "wait": 3},
        {"type": "tensorboard", "folder": "taken", "wait": 3},
        {"type": "jsonl", "path": "taken/track.jsonl", "wait": 3},
    ]
    face.monkeypatch.setenv("OUR_HOOK", f"{refused}/s3cret")
    began = time.monotonic()
    ended = face.run({"seeds": [0], "track": track, "notify": "$OUR_HOOK"}, "--store", str(face.folder / "fresh"))
    assert ended.code == 0, ended.err
    assert without_times(face.results()) == expected
    said = sorted(re.match(r"warning tracker (\w+)", line)[1] for line in warnings(ended.err))  # type: ignore[index]
    assert said == ["jsonl", "mlflow", "mlflow", "notify", "tensorboard", "wandb"], ended.err
    assert all("the run goes on" in line for line in warnings(ended.err))
    assert "s3cret" not in ended.err
    assert "aaaa" not in ended.err
    assert time.monotonic() - began < 60


def test_a_webhook_is_told_of_a_failure_at_once_and_of_the_end(face: Face) -> None:
    with webhook() as (url, heard):
        ended = face.run({"seeds": [0], "notify": url, **FAILS})
    assert ended.code == 1
    said = [one["text"] for _, one in heard]
    assert [text.startswith(begin) for text, begin in zip(said, BEGIN, strict=True)] == [True, True], said


def test_a_package_that_is_not_installed_is_named_with_the_remedy(face: Face) -> None:
    absent = face.folder / "absent"
    absent.mkdir()
    (absent / "mlflow.py").write_text("raise ModuleNotFoundError('No module named mlflow', name='mlflow')")
    face.monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(absent), os.environ["PYTHONPATH"]]))
    ended = face.run({"seeds": [0]}, "--track", "mlflow")
    assert ended.code == 0
    (line,) = warnings(ended.err)
    assert "mlflow is not installed; pip install 'w2s_ray[trackers]'" in line


def test_what_cannot_be_meant_is_refused_in_a_line_without_the_address(face: Face) -> None:
    assert "there are: jsonl, mlflow, notify, tensorboard, wandb" in face.run({"track": ["wandbb"]}).refusal
    assert "s3cret" not in face.run({"notify": "hook.example/s3cret"}).refusal
    assert "is not set here" in warnings(face.run({"seeds": [0], "notify": "$NOT_THERE"}).err)[0]
    assert "s3cret" not in face.run({}, "--set", "notify=https://hook.example/s3cret").refusal
    assert "write $NAME" in face.run({}, "--track", "{type: notify, url: 'https://hook.example/x'}").refusal
    assert "s3cret" not in face.run({"track": [{"type": "mlflow", "uri": "http://me:s3cret@h"}]}).refusal


def test_a_submitted_study_may_not_carry_an_address(face: Face) -> None:
    study = face.study({"notify": "https://hook.example/s3cret"})
    refusal = face.w2s("submit", study, "--address", "http://127.0.0.1:1", "--store", "/s").refusal
    assert "write $NAME in its place" in refusal
    assert "s3cret" not in refusal


@pytest.mark.slow
def test_trackers_that_die_half_way_are_said_once_each_and_made_up_for(face: Face) -> None:
    """Every tracker's process dies, with what its library had started, while a fit runs."""
    long = {"seeds": [0], "train.weak.epochs": 600}
    plain = face.run(long, "--store", str(face.folder / "plain"))
    assert plain.code == 0, plain.err
    expected = without_times(face.results())
    with webhook() as (url, heard):
        face.monkeypatch.setenv("OUR_HOOK", url)
        driver = subprocess.Popen(
            face.command("run", face.study({**long, **everything(face)}), "--local"), cwd=face.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        path = face.folder / "runs/small/track.jsonl"
        deadline = time.monotonic() + 120
        while not (path.is_file() and path.read_text().count('"point"') > 4) and time.monotonic() < deadline:
            time.sleep(0.1)
        trackers = psutil.Process(driver.pid).children()
        for process in trackers:
            os.killpg(process.pid, signal.SIGKILL)
        _, err = driver.communicate(timeout=200)
        assert heard == []
    assert len(trackers) == 5
    assert driver.returncode == 0, err
    assert without_times(face.results()) == expected
    said = sorted(re.match(r"warning tracker (\w+)", line)[1] for line in warnings(err))  # type: ignore[index]
    assert said == ["jsonl", "mlflow", "notify", "tensorboard", "wandb"], err
    assert face.w2s("run", "study.yaml", "--local").code == 0
    (cell,) = face.results()["cells"]
    for name, read in read_all(face).items():
        assert any(dict(numbers.get("student", ())).get(0) == pytest.approx(cell["student"], rel=1e-6)
                   for numbers in read.values()), name  # fmt: skip
        curves = [numbers["loss"] for numbers in read.values() if "loss" in numbers]
        assert len(curves) == 3
        assert all(steps == sorted(set(steps)) for steps in ([step for step, _ in curve] for curve in curves))


@pytest.mark.slow
def test_a_tracker_that_hangs_does_not_outlive_a_driver_that_was_killed(face: Face, hanging: str) -> None:
    study = face.study({"seeds": [0], "track": [{"type": "mlflow", "uri": hanging, "wait": 1000}]})
    driver = subprocess.Popen(
        face.command("run", study, "--local"), cwd=face.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (theirs := psutil.Process(driver.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(5)
    driver.kill()
    driver.wait()
    assert len(theirs) == 1
    _, alive = psutil.wait_procs(theirs, timeout=60)
    assert alive == []


def content(face: Face, runs: str = "runs") -> list[str]:
    """But for the report, which says what the run itself did."""
    return sorted(json.dumps(event, sort_keys=True) for event in events(face, runs) if event["event"] != "file")


def test_what_comes_from_the_store_is_told_as_what_was_computed(face: Face) -> None:
    lines = [{"type": "jsonl", **PATIENT}]
    assert face.run({"seeds": [0], "track": lines}).code == 0
    before = content(face)
    (cell,) = face.results()["cells"]
    told = [event["numbers"] for event in events(face) if event["event"] == "end"]
    assert {name: cell[name] for name in ARMS if cell[name] is not None}.items() <= max(told, key=len).items()
    assert sum(event["event"] == "point" for event in events(face)) >= 6
    assert face.w2s("run", "study.yaml", "--local").code == 0
    assert content(face) == before == sorted(set(before))
    assert face.w2s("run", "study.yaml", "--local", "--runs", "other").code == 0
    assert content(face, "other") == before


@pytest.mark.slow
def test_an_interrupted_study_that_goes_on_has_each_point_once(face: Face) -> None:
    """The driver is killed; its trackers' processes end what they were told by themselves."""
    long = {"seeds": [0], "train.weak.epochs": 1200, "track": ["jsonl", {"type": "tensorboard", "wait": 60}]}
    driver = subprocess.Popen(
        face.command("run", face.study(long), "--local"), cwd=face.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    path = face.folder / "runs/small/track.jsonl"
    deadline = time.monotonic() + 120
    while not (path.is_file() and path.read_text().count('"point"') > 8) and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    there = trackers_read.of_jsonl(path)
    assert any(1 < len(curves["loss"]) < 200 for curves in there.values()), "it was killed in the middle of a fit"
    time.sleep(1)
    ended = face.w2s("run", "study.yaml", "--local")
    assert ended.code == 0, ended.err
    for read in (trackers_read.of_jsonl(path), trackers_read.of_tensorboard(path.parent / "tensorboard")):
        for curves in (curves for curves in read.values() if "loss" in curves):
            steps = [step for step, _ in curves["loss"]]
            assert steps == sorted(set(steps))
    assert max(len(curves.get("loss", ())) for curves in trackers_read.of_jsonl(path).values()) > 150
