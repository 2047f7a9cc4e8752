"""Each tracker's sink, with its real library: what is shown in parts, over several sessions, is there once."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import trackers_read

from w2s_ray.core.plugins import build
from w2s_ray.trackers.contract import Run, Sink, Spot

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries, which run in a process of their own elsewhere

CURVE = tuple((step, 1 / step) for step in range(1, 41))
CELL = Run("c" * 32, "cell", "naive, a -> b, seed 0", config={"train.lr": 0.1, "name": "naïve\n"})
FIT = Run("f" * 32, "fit", "train/x-0123", config={"model": "x"}, links={"fit": "train/x-0123"})
DONE = replace(
    FIT,
    status="done",
    curves={"loss": CURVE, "lr": CURVE, "check": ((10, 0.5), (40, 0.75))},
    numbers={"seconds": 0.1 + 0.2},
)
SCORED = replace(CELL, status="done", numbers={"floor": 1 / 3, "pgr": -0.1}, links={"student": "train/x-0123"})


Opened = tuple[Callable[[], Sink], Callable[[], trackers_read.Read]]


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'w2s_ray[trackers]'")


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("mlflow", "wandb")]  # to start


@pytest.fixture(params=["jsonl", "tensorboard", *SLOW])
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """What opens a sink, and what reads all that is there."""
    name, uri = request.param, f"sqlite:///{tmp_path}/mlflow.db"
    needs("json" if name == "jsonl" else name)
    fields = {"mlflow": {"uri": uri}, "wandb": {"mode": "offline"}}.get(name, {})
    plugin = build("w2s_ray.trackers", {"type": name, **fields})
    read = {
        "jsonl": lambda: trackers_read.of_jsonl(tmp_path / "track.jsonl"),
        "tensorboard": lambda: trackers_read.of_tensorboard(tmp_path / "tensorboard"),
        "mlflow": lambda: trackers_read.of_mlflow(uri, "small"),
        "wandb": lambda: trackers_read.of_wandb(tmp_path),
    }
    return lambda: plugin.sink(Spot("small", "d1", tmp_path)), read[name]


def rounded(read: trackers_read.Read, run: Run) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's numbers have the digits of 32 bits."""
    found = read.get(run.id) or read[run.id[:8]]
    return {
        name: [(step, pytest.approx(value, rel=1e-6)) for step, value in sorted(one)] for name, one in found.items()
    }


def test_what_is_shown_in_parts_is_there_once(tracker: Opened, tmp_path: Path) -> None:
    opened, read = tracker
    first = opened()
    first.put(CELL)
    first.put(replace(FIT, curves={"loss": CURVE[:10], "lr": CURVE[:10]}))
    first.put(replace(FIT, curves={"loss": CURVE[:25], "lr": CURVE[:25]}))
    first.close()  # its driver is gone
    second = opened()
    second.put(CELL)
    second.put(replace(FIT, curves={"loss": CURVE[:20], "lr": CURVE[:20]}))  # from a checkpoint
    second.put(SCORED)
    second.put(DONE)
    second.put(replace(DONE, parent=CELL.id))
    second.close()
    expected = {name: list(curve) for name, curve in DONE.curves.items()} | {"seconds": [(0, 0.1 + 0.2)]}
    assert rounded(read(), FIT) == expected
    assert rounded(read(), CELL) == {"floor": [(0, 1 / 3)], "pgr": [(0, -0.1)]}
    before = read()
    third = opened()  # the study is run again
    for run in (CELL, replace(FIT, status="running"), SCORED, DONE, replace(DONE, parent=CELL.id)):
        third.put(run)
    third.close()
    assert read() == before


@pytest.mark.parametrize("name", ["jsonl", "tensorboard"])
def test_half_a_line_of_a_process_that_was_killed_is_cut_off(name: str, tmp_path: Path) -> None:
    needs("json" if name == "jsonl" else name)
    plugin = build("w2s_ray.trackers", name)
    spot = Spot("small", "d1", tmp_path)
    sink = plugin.sink(spot)
    sink.put(replace(FIT, curves={"loss": CURVE[:10]}))
    sink.close()
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = path.read_bytes()
    path.write_bytes(whole + whole[-9:-2])
    sink = plugin.sink(spot)
    sink.put(DONE)
    sink.close()
    read = trackers_read.of_jsonl(path) if name == "jsonl" else trackers_read.of_tensorboard(tmp_path / "tensorboard")
    assert rounded(read, FIT)["loss"] == list(CURVE)


@pytest.mark.slow
def test_in_mlflow_fits_are_nested_and_odd_names_are_there_once_too(tmp_path: Path) -> None:
    needs("mlflow")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    plugin, spot = build("w2s_ray.trackers", {"type": "mlflow", "uri": uri}), Spot("small", "d1", tmp_path)
    odd = replace(SCORED, numbers={"naive world:topic/pgr": 0.5})
    for _ in range(2):
        sink = plugin.sink(spot)
        sink.put(odd)
        sink.put(replace(DONE, parent=CELL.id))
        sink.put(replace(FIT, id="e" * 32))
        sink.close()
    client = MlflowClient(tracking_uri=uri)
    runs = {run.data.tags["w2s.run"]: run for run in client.search_runs(["1"])}
    assert runs[FIT.id].data.tags["mlflow.parentRunId"] == runs[CELL.id].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED", "KILLED"}
    assert runs["e" * 32].info.status == "KILLED"
    assert len(client.get_metric_history(runs[CELL.id].info.run_id, "naive world_topic/pgr")) == 1
    assert runs[CELL.id].data.params == {"train.lr": "0.1", "name": "naïve\n"}
    assert runs[CELL.id].data.tags["w2s.key.student"] == "train/x-0123"


class FakeWandB:
    """The little of W&B's that a sink calls; keeps which runs were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.run = SimpleNamespace(
            config=SimpleNamespace(update=lambda *_, **__: None), summary={}, log=lambda row: None,
            define_metric=lambda *_, **__: None, finish=lambda exit_code: None,
        )  # fmt: skip

    def Settings(self, **settings: object) -> None: ...

    def init(self, *, id: str, **settings: object) -> SimpleNamespace:
        self.begun.append(id)
        return self.run


@pytest.mark.parametrize("torn", [b'["online None/w2s_ray", "c', b'["a"]\n7\n[{}, [], 1]\n["a", "b[1]\n\xff\n'])
def test_a_torn_line_of_wandb_costs_its_run_alone(torn: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    plugin = build("w2s_ray.trackers", "wandb")
    spot = Spot("small", "d1", tmp_path)
    plugin.sink(spot).put(SCORED)
    path = tmp_path / "wandb/w2s-whole.jsonl"
    path.write_bytes(path.read_bytes() + torn)
    for _ in range(2):  # what the first writes, the second can read
        sink = plugin.sink(spot)
        sink.put(SCORED)
        sink.put(DONE)
    assert fake.begun == [SCORED.id, DONE.id]
