"""`import w2s_ray as w2s`: a run from Python is the run of `w2s run`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from integration.face import SMALL, Face

import w2s_ray as w2s
from w2s_ray.api.results import StudyResults
from w2s_ray.config.method import MethodParams
from w2s_ray.engine.store import open_store
from w2s_ray.methods.naive import Naive
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs
from w2s_ray.reports.ending import Kept

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """A study that has run from Python, and where."""

    face: Face
    found: StudyResults

    @property
    def where(self) -> dict[str, Any]:
        return {"store": self.face.store, "runs": self.face.folder / "runs", "local": True, "quiet": True}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with Face.of_module(tmp_path_factory, "python") as face:
        again = {"store": face.store, "runs": face.folder / "runs", "local": True, "quiet": True}
        yield Ran(face, w2s.run(SMALL, **again))


def test_importing_it_loads_nothing() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import w2s_ray; s = time.perf_counter() - t; heavy = {'torch',"
        " 'ray', 'pandas', 'numpy', 'pydantic', 'yaml', 'rich'} & set(sys.modules); print(s, len(heavy),"
        " 'run' in dir(w2s_ray))"
    )
    done = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    said = [one.stdout.split() for one in done]
    assert {tuple(rest) for _, *rest in said} == {("0", "True")}
    assert min(float(seconds) for seconds, *_ in said) < 0.05


def test_its_names_are_there_and_no_others() -> None:
    assert all(hasattr(w2s, name) for name in w2s.__all__)
    assert w2s.InputError is __import__("w2s_ray.core.errors", fromlist=["InputError"]).InputError
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        w2s.rnu  # type: ignore[attr-defined]


def test_a_run_from_python_and_one_from_the_command_line_are_one(ran: Ran) -> None:
    folder = ran.face.folder / "runs" / "small"
    texts = ("config.resolved.yaml", ".cells")
    before = {name: (folder / name).read_text(encoding="utf-8") for name in texts}
    python = ran.face.results()
    ended = ran.face.run()
    assert ended.code == 0
    command = ran.face.results()
    assert command["steps"]["executed"] == 0 and command["config_digest"] == python["config_digest"]
    assert {name: (folder / name).read_text(encoding="utf-8") for name in texts} == before
    for part in ("summary", "failures"):
        assert command[part] == python[part]
    assert [{**cell, "seconds": 0} for cell in command["cells"]] == [{**cell, "seconds": 0} for cell in python["cells"]]
    again = w2s.run(ran.face.folder / "study.yaml", **ran.where)
    assert again.data.steps.executed == 0
    assert again.table().split() == ended.out[: ended.out.index("report:")].split()


def test_what_is_returned_is_what_is_found_later(ran: Ran) -> None:
    later = w2s.results("small", ran.face.folder / "runs")
    assert later.folder == ran.found.folder and later.table() == ran.found.table()
    assert later.cells.equals(w2s.results(Path(later.folder)).cells)
    assert list(later.cells["seed"]) == [0, 1, 2] and set(later.cells["status"]) <= {"ok", "no_gap"}
    assert later.config["task"]["labelled"] == 40
    assert later.report.startswith("# small\n")
    tests = later.predictions[later.predictions["split"] == "test"]
    right = (tests["student_class"] == tests["gold"]).groupby(tests["seed"]).mean()
    assert right.tolist() == pytest.approx(later.cells["student"].tolist())


def test_its_page_its_trackers_and_its_end_are_there(ran: Ran) -> None:
    told = w2s.Study.of(SMALL).with_(name="told", track=[{"type": "jsonl", "wait": 100}])
    found = told.run(**ran.where)
    folder = Path(found.folder)
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in (folder / "track.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(line["event"] == "run" and line["kind"] == "cell" for line in lines) == 3
    kept = Kept.of(open_store(str(ran.face.store)), "told")
    assert kept is not None and kept.shown == found.table()
    assert (kept.end.status, kept.end.report) == ("done", str(folder / "report.html"))


def test_sets_and_a_place_stand_above_the_study(ran: Ran, tmp_path: Path) -> None:
    place = tmp_path / "place.yaml"
    place.write_text(yaml.safe_dump({"store": str(ran.face.store), "resources": {"strong": {"retries": 7}}}))
    found = w2s.run(SMALL, place=place, runs=tmp_path, local=True, quiet=True, sets=["name=set", "seeds=[1]"])
    assert found.config["resources"]["strong"]["retries"] == 7
    assert found.folder == str(tmp_path / "set") and found.data.steps.by_step["train"] == {"reused": 3}  # type: ignore[attr-defined]


def test_a_plan_is_that_of_the_command_line(ran: Ran) -> None:
    where = {"store": ran.face.store, "runs": ran.face.folder / "runs"}
    assert not w2s.plan(SMALL, **where).to_run.keys() & {"train", "prepare"}
    more = w2s.Study.of(SMALL).with_(seeds=[0, 9]).plan(**where)
    assert (more.to_run["train"], more.reused["train"]) == (3, 3) and "to_run" in repr(more)


def test_what_is_wrong_is_raised_before_anything_is_computed(ran: Ran, tmp_path: Path) -> None:
    for changes, words in (
        ({"models": {"weak": "world/nona", "strong": "world/micro"}}, "'world/nona' is not in"),
        ({"task": {"data": "file:none.jsonl"}}, "none.jsonl"),
    ):
        with pytest.raises(w2s.InputError, match=words):
            w2s.run({**SMALL, **changes}, store=tmp_path / "store", runs=tmp_path, local=True)
    with pytest.raises(w2s.ResourceError, match="w2s submit"):
        w2s.run(SMALL, store=tmp_path / "store", runs=tmp_path, address="http://head:8265")
    assert not list(tmp_path.rglob("record.json"))


def test_a_failed_cell_is_in_the_results(ran: Ran) -> None:
    bad = {"train.strong.lr": 1e30, "train.strong.clip": None}
    found = w2s.Study.of(SMALL).with_(bad, name="bad", seeds=[0]).run(**ran.where)
    assert found.cells["status"].tolist() == ["failed"] and "are not finite" in found.cells["reason"][0]
    assert found.summary["num_failed"].tolist() == [1]
    with pytest.raises(w2s.CellsFailed, match="bad: 1 of 1 cells failed"):
        found.raise_for_failures()


class Twice(MethodParams):
    """A method as one writes it in a notebook."""

    type: Literal["twice"] = "twice"

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        return Naive().run(ctx, task)


def test_a_method_of_the_program_runs(ran: Ran) -> None:
    found = w2s.Study.of({**SMALL, "methods": ["naive", Twice()], "name": "own"}).run(**ran.where).raise_for_failures()
    assert found.data.steps.by_step["train"] == {"reused": 9}  # type: ignore[attr-defined]
    assert found.comparisons["difference"].tolist() == [0.0]


def test_what_it_shows_it_shows_on_standard_error(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    w2s.run({**SMALL, "seeds": [0]}, **{**ran.where, "quiet": False})
    shown = capsys.readouterr()
    assert shown.out == "" and "warning seeds: [0] gives intervals that say little" in shown.err
    w2s.run({**SMALL, "seeds": [0]}, **ran.where)
    assert capsys.readouterr() == ("", "")


def test_a_run_in_a_thread_is_left_to_its_signals(ran: Ran) -> None:
    """Handlers can be set in the main thread alone, and are the program's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    found: list[StudyResults] = []
    thread = threading.Thread(target=lambda: found.append(w2s.run(SMALL, **ran.where)))
    thread.start()
    thread.join(60)
    assert found[0].data.steps.executed == 0
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_stopped_run_is_continued_by_the_same_call(tmp_path: Path) -> None:
    """Ctrl-C, or the stop of a notebook: what is finished is kept."""
    store, long = tmp_path / "store", w2s.Study.of(SMALL).with_({"train.strong.epochs": 10}, seeds=[0, 1, 2, 3])

    def stop() -> None:
        while not list(store.glob("train/*/record.json")):
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        long.run(store=store, runs=tmp_path, local=True, quiet=True)
    there = len(list(store.glob("train/*/record.json")))
    assert 1 <= there < 12
    found = long.run(store=store, runs=tmp_path, local=True, quiet=True).raise_for_failures()
    assert len(found.cells) == 4 and found.data.steps.by_step["train"]["reused"] >= there  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_on_it_runs(tmp_path: Path) -> None:
    """The code of docs/how-to/from-python.md, in its order."""
    page = (ROOT / "docs" / "how-to" / "from-python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "gap recovered" in done.stdout and "difference_low" in done.stdout


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_is_started_and_ended_with_each_run(tmp_path: Path) -> None:
    """Twice in one process, from a thread, with an event loop that runs, and beside a Ray that is somebody else's."""
    code = """
import asyncio, json, ray, w2s_ray as w2s
study = w2s.Study.of(json.loads(open("small.json").read()))
async def main():
    first = await asyncio.to_thread(study.with_(seeds=[0]).run, quiet=True)
    up = ray.is_initialized()
    second = study.with_(seeds=[1]).run(quiet=True)
    return first, second, up, ray.is_initialized()
first, second, *up = asyncio.run(main())
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
beside = study.with_(seeds=[2]).run(quiet=True)
mine = ray.is_initialized()
print(json.dumps([first.data.steps.executed, second.data.steps.executed, up, mine, beside.failures[0]["error"]]))
"""
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, up, mine, error = json.loads(done.stdout.splitlines()[-1])
    assert first and second and up == [False, False]
    assert mine, "a Ray of the program's own is left to it"
    assert "call ray.shutdown() first" in error
