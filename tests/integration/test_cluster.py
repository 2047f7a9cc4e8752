"""Studies on a cluster of several "machines" on this one: `cluster/local/nodes.sh`, as a user starts it. Network,
processes and Ray's folders are each node's own; the disk is shared."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HEAD, JOBS = "10.77.0.10:6379", "http://10.77.0.10:8265"
LACKS = next((tool for tool in ("ip", "unshare", "nsenter", "setsid") if shutil.which(tool) is None), None)

STUDY: dict[str, Any] = {
    "name": "far",
    "task": {"data": "world:topic", "labelled": 100, "pool": 100, "test": 100},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive", {"type": "bagging", "members": 8}],
    "train": {"weak": {"lr": 1e-3, "epochs": 2}, "strong": {"lr": 1e-3, "epochs": 2}},
    "seeds": [0],
}
SHARDED = {"resources": {"strong": {"workers": 2, "zero": 2}}}
LONG = {"methods": ["naive"], "seeds": [0, 1, 2, 3], "train": {"weak": {"epochs": 80}, "strong": {"epochs": 100}}}


@dataclass(frozen=True)
class Nodes:
    """The script, and `w2s` on this machine or on a node."""

    state: Path
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        own = {"W2S_NODES": str(self.state), "W2S_BIN": str(BIN), "RAY_AUTH_MODE": "token", "COLUMNS": "200"}
        return {**os.environ, **own, "RAY_AUTH_TOKEN_PATH": str(self.state / "token"), "PYTHONPATH": str(ROOT)}

    def __call__(self, *words: str, timeout: float = 120, check: bool = True) -> str:
        command = ["bash", str(ROOT / "cluster/local/nodes.sh"), *words]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def w2s(
        self, *words: str, on: int | None = None, timeout: float = 400, **more: str
    ) -> subprocess.CompletedProcess[str]:
        there = [] if on is None else ["bash", str(ROOT / "cluster/local/nodes.sh"), "on", str(on)]
        return subprocess.run(
            [*there, str(BIN / "python"), "-m", "w2s_ray", *words], env=self.environ | more, cwd=self.folder,
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def study(self, *changes: Mapping[str, Any]) -> str:
        raw = STUDY
        for change in changes:
            raw = {**raw, **change}
        (self.folder / "study.yaml").write_text(yaml.safe_dump(raw))
        return "study.yaml"

    def submit(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.w2s("submit", "study.yaml", "--address", JOBS, "--store", str(self.folder / "far"), *words, **more)

    def at_home(self, *words: str) -> dict[str, Any]:
        """The same study on this machine alone, once."""
        study = (self.folder / "study.yaml").read_text()
        if study not in _at_home:
            _at_home[study] = self._at_home(*words)
        return _at_home[study]

    def _at_home(self, *words: str) -> dict[str, Any]:
        done = self.w2s("run", "study.yaml", "--store", str(self.folder / "home"), *words, RAY_AUTH_MODE="disabled")
        assert done.returncode == 0, done.stderr
        return numbers(self.folder / "runs/far/results.json")

    def far(self) -> dict[str, Any]:
        return numbers(self.folder / "far-runs/far/results.json")

    def fits(self) -> int:
        return len(list((self.folder / "far").glob("train/*/record.json")))

    def fit_on(self, node: str) -> str:
        """What a process of Ray's on a node is named after while it trains."""
        pids = subprocess.run(["ip", "netns", "pids", f"w2s-{node}"], capture_output=True, text=True, check=True).stdout
        titles = [Path(f"/proc/{pid}/cmdline") for pid in pids.split()]
        found = [title.read_bytes().strip(b"\0").decode() for title in titles if title.exists()]
        return next((title for title in found if title.startswith("ray::train/")), "")

    def attempts(self) -> dict[str, str]:
        """What is finished, and which attempt made it."""
        found = (self.folder / "far").glob("*/*/record.json")
        return {path.parent.name: json.loads(path.read_text())["attempt"] for path in found}


_at_home: dict[str, dict[str, Any]] = {}


def numbers(results: Path) -> dict[str, Any]:
    return {
        f"{cell['method']} {cell['seed']}": [cell.get(arm) for arm in ("floor", "student", "ceiling", "pgr")]
        for cell in json.loads(results.read_text())["cells"]
    }


def until(what: str, done: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what} within {seconds:.0f} s"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if LACKS or os.geteuid() != 0:
        pytest.skip(f"needs {LACKS or 'root'} for network namespaces")
    folder = tmp_path_factory.mktemp("nodes") / "state"
    nodes = Nodes(folder, folder.parent)
    try:
        nodes("up", "2")
        yield folder
    finally:
        nodes("down")


@pytest.fixture
def nodes(state: Path, tmp_path: Path) -> Nodes:
    return Nodes(state, tmp_path)


def test_a_submitted_study_is_the_laptops_and_shows_no_secret(nodes: Nodes) -> None:
    """An ensemble of 8, and a strong fit sharded over both nodes."""
    nodes.study(SHARDED, {"methods": [{"type": "bagging", "members": 8}]})
    home = nodes.at_home()
    first = nodes.submit("--env", "HF_TOKEN", HF_TOKEN="hf_s3cret")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "gap recovered" in first.stdout
    assert "submitted: w2s-far-" in first.stderr
    assert "cell done: bagging" in first.stderr, "the live view, from elsewhere"
    assert nodes.far() == home
    before = nodes.attempts()
    again = nodes.submit("--env", "HF_TOKEN", HF_TOKEN="hf_s3cret")
    assert again.returncode == 0, again.stderr
    assert nodes.attempts() == before, "nothing is made twice"
    logs = nodes.w2s("logs", "far", "--address", JOBS)
    listed = nodes.w2s("status", "--address", JOBS)
    assert "succeeded" in listed.stdout
    for ended in (first, again, logs, listed):
        assert "s3cret" not in ended.stdout + ended.stderr
    reported = nodes.w2s("report", "far", "--runs", str(nodes.folder / "far-runs"))
    assert reported.stdout.startswith("# far")


def test_a_submitted_search_is_the_laptops(nodes: Nodes) -> None:
    space = {"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}, "trials": 4, "select_on": "heldout"}
    task = {**STUDY["task"], "heldout": 0.5}
    nodes.study({"methods": ["naive"], "task": task, "tune": space})
    home = nodes.w2s("tune", "study.yaml", "--store", str(nodes.folder / "home"), RAY_AUTH_MODE="disabled")
    assert home.returncode == 0, home.stderr
    there = nodes.submit("--tune")
    assert there.returncode == 0, there.stdout + there.stderr
    best = [nodes.folder / runs / "far/search/best.yaml" for runs in ("runs", "far-runs")]
    assert best[0].read_text() == best[1].read_text()


def test_nodes_and_the_driver_die_and_nothing_finished_is_made_again(nodes: Nodes) -> None:
    nodes.study(LONG)
    home = nodes.at_home("--local")
    assert nodes.submit("--no-wait").returncode == 0
    until("two fits are finished", lambda: nodes.fits() > 1)
    finished = nodes.attempts()
    attached = nodes.submit("--no-wait")
    assert "it runs already" in attached.stderr, "two submissions are one job"
    subprocess.run(["pkill", "-KILL", "-f", "w2s_ray run study.yaml"], check=True)
    nodes("kill", "1")
    third = nodes("add").strip()
    until("the job is over", lambda: "running" not in nodes.w2s("status", "--address", JOBS).stdout)
    finished |= nodes.attempts()
    assert nodes.submit("--no-wait").returncode == 0
    fits = nodes.fits()
    until("another fit is finished", lambda: nodes.fits() > fits)
    nodes("cut", "2")
    time.sleep(20)
    nodes("heal", "2")
    finished |= nodes.attempts()
    ended = nodes.submit()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert nodes.far() == home
    assert {name: attempt for name, attempt in nodes.attempts().items() if name in finished} == finished
    nodes("kill", third)
    nodes("start", "1")


def test_a_drained_node_a_frozen_driver_and_two_submissions_at_once(nodes: Nodes) -> None:
    """No checkpoint is due by the clock: the notice alone causes one."""
    nodes.study(LONG, {"seeds": [0], "train": {"weak": {"epochs": 80}, "strong": {"epochs": 400}}})
    home = nodes.at_home("--local")
    seldom = [f"--set=resources.{role}.checkpoint_every_s=1000000" for role in ("weak", "strong")]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda n: nodes.submit("--no-wait", *seldom), range(2)))
    assert [one.returncode for one in both] == [0, 0]
    assert sum("it runs already" in one.stderr for one in both) == 1, [one.stderr for one in both]
    until("a long fit runs on the node", lambda: "micro" in nodes.fit_on("2"))
    nodes("on", "0", str(BIN / "python"), "-c", DRAIN)
    until("a checkpoint is there", lambda: [*(nodes.folder / "far").glob("train/*/work/fit.*")], 40)
    time.sleep(8)  # a cloud gives 30 s and more: time for the driver to see the notice too
    nodes("kill", "2")
    driver = int(subprocess.run(["pgrep", "-of", "w2s_ray run study.yaml"], capture_output=True, check=True).stdout)
    os.kill(driver, signal.SIGSTOP)
    finished = nodes.attempts()
    there = ["--store", str(nodes.folder / "far"), "--runs", str(nodes.folder / "far-runs"), "--local"]
    other = nodes.w2s("run", "study.yaml", *there)
    assert other.returncode == 0, other.stderr
    assert nodes.far() == home, "another driver takes over what the frozen one holds"
    finished |= nodes.attempts()
    os.kill(driver, signal.SIGCONT)
    until("the job is over", lambda: "running" not in nodes.w2s("status", "--address", JOBS).stdout)
    listed = nodes.w2s("status", "--address", JOBS).stdout.splitlines()
    assert "succeeded" in listed[-1], listed
    assert nodes.attempts() == finished, "the frozen one wakes, and makes nothing again"
    facts = [json.loads(path.read_text())["value"]["facts"] for path in nodes.folder.glob("far/train/*/record.json")]
    assert any(fact["resumed"] for fact in facts), "from the checkpoint of the notice"
    ledger = json.loads(next((nodes.folder / "far/ledger").glob("*.json")).read_text())
    assert [loss["cause"] for loss in ledger["losses"]] == ["preemption"]
    nodes("start", "2")


DRAIN = """
import subprocess, sys, ray
ray.init("auto", log_to_driver=False, logging_level="ERROR")
node = next(node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeManagerAddress"] == "10.77.0.12")
why = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test", "--deadline-remaining-seconds", "300"]
ray_command = sys.executable.replace("python", "ray")
subprocess.run([ray_command, "drain-node", "--address", "10.77.0.10:6379", "--node-id", node, *why], check=True)
"""


def test_a_head_that_dies_is_said_in_a_line_and_costs_time_alone(nodes: Nodes) -> None:
    """The driver is on another machine."""
    nodes.study(LONG)
    home = nodes.at_home("--local")
    command = ["run", "study.yaml", "--store", str(nodes.folder / "far"), "--runs", str(nodes.folder / "far-runs")]
    there = ["bash", str(ROOT / "cluster/local/nodes.sh"), "on", "1", str(BIN / "python"), "-m", "w2s_ray", *command]
    pipe = subprocess.PIPE
    driver = subprocess.Popen(
        [*there, "--address", HEAD], env=nodes.environ, cwd=nodes.folder, stdout=pipe, stderr=pipe, text=True
    )
    until("two fits are finished", lambda: nodes.fits() > 1)
    nodes("kill", "0")
    killed = time.monotonic()
    _, said = driver.communicate(timeout=120)
    assert time.monotonic() - killed < 75
    assert driver.returncode in (1, 2)
    assert "has not answered for 40 s; start it again" in said
    assert "Traceback" not in said
    finished = nodes.attempts()
    nodes("kill", "1")
    nodes("kill", "2")
    for node in ("0", "1", "2"):
        nodes("start", node)
    ended = nodes.w2s(*command, "--address", HEAD, on=1)
    assert ended.returncode == 0, ended.stderr
    assert nodes.far() == home
    assert {name: attempt for name, attempt in nodes.attempts().items() if name in finished} == finished


def test_what_cannot_work_is_refused_in_a_line_before_work_starts(nodes: Nodes) -> None:
    nodes.study({"methods": ["naive"]})
    nodes("on", "2", "bash", "-c", f"mkdir -p {nodes.folder}/hidden && mount -t tmpfs none {nodes.folder}/hidden")
    refusals = {
        f"--address {JOBS}: the cluster refuses this machine's token": nodes.submit(
            RAY_AUTH_TOKEN_PATH="", RAY_AUTH_TOKEN="x" * 32
        ),
        "has no value, and NO_SUCH is not set here": nodes.submit("--env", "NO_SUCH"),
        "asks for nodes with small (there are none)": nodes.submit(
            "--set", "resources.weak.custom.small=1", "--set", "resources.strong.custom.small=1"
        ),
        "10.77.0.12: it does not find there what the driver wrote": nodes.w2s(
            "submit", "study.yaml", "--address", JOBS, "--store", f"{nodes.folder}/hidden"
        ),
        "the Ray address http://10.77.0.10:8265 is that of a cluster's jobs": nodes.w2s(
            "run", "study.yaml", "--address", JOBS
        ),
        "Failed to connect to Ray at address: http://10.77.0.99:8265": nodes.w2s(
            "logs", "x", "--address", "http://10.77.0.99:8265"
        ),
        "no job 'nothing' at": nodes.w2s("stop", "nothing", "--address", JOBS),
    }  # fmt: skip
    for said, ended in refusals.items():
        text = ended.stdout + ended.stderr
        assert ended.returncode in (1, 2), (said, text)
        assert said in " ".join(text.split()), (said, text)
        assert "Traceback" not in text, (said, text)
    assert nodes.fits() == 0
