"""Names of the hub without a commit: resolved once, kept beside the study, and from then on as if the commit stood in
it. A small cache in the hub's own layout, and a server on loopback that answers as the hub's API does."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from huggingface_hub import constants
from integration.face import SMALL, Face

import w2s_ray as w2s
from w2s_ray.cli import detach
from w2s_ray.config.load import Study, expand, load_study
from w2s_ray.ops.models import folder_of
from w2s_ray.study.pack import package_of
from w2s_ray.study.pins import Lock, Pin, pinned, pins_of

OLD, NEW, DATA = 40 * "a", 40 * "b", 40 * "d"


@dataclass
class Hub:
    """What the hub knows: path of its API -> commit, or a status with the header that says why."""

    commits: dict[str, str | tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the hub, with a model at one commit, which is its main."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub/models--org--tiny"
    shutil.copytree(folder_of("world/nano", Path()), repo / "snapshots" / OLD)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(OLD)
    return repo


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """On loopback, and this machine is online."""
    known = Hub()

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            known.asked.append(path)
            found = known.commits.get(path, (404, "RepoNotFound"))
            status, why = (200, "") if isinstance(found, str) else found
            body = json.dumps({"id": "org/tiny", "sha": found, "siblings": []}).encode() if status == 200 else b""
            self.send_response(status)
            self.send_header("X-Error-Code", why)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield known
        server.shutdown()


def keys(face: Face) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((face.folder / "runs/small/plan.json").read_text())
    return found


def lock(face: Face) -> Any:
    return yaml.safe_load((face.folder / "study.lock").read_text())


def test_a_name_is_resolved_from_the_cache_kept_and_is_then_as_if_the_commit_stood_in_the_study(
    face: Face, cache: Path
) -> None:
    study = {"models.weak": "hub:org/tiny", "seeds": [0]}
    planned = face.w2s("plan", face.study(study))
    assert planned.code == 0, planned.err + planned.out
    said = [line for line in planned.err.splitlines() if not line.startswith("warning")]
    assert said == [
        f"hub:org/tiny is {OLD}, told by this machine's cache (HF_HUB_OFFLINE is set); not kept: `w2s pin` or `w2s run`"
        " writes study.lock"
    ]
    assert not (face.folder / "study.lock").exists(), "a plan writes nothing beside the study"
    by_name = keys(face)
    assert face.w2s("plan", face.study(study | {"models.weak": f"hub:org/tiny@{OLD}"})).err.count("hub:") == 0
    assert keys(face) == by_name

    ran = face.run(study)
    assert ran.code == 0, ran.err
    assert "study.lock keeps it" in ran.err
    assert lock(face) == {"models": {"org/tiny": OLD}}
    resolved = yaml.safe_load((face.folder / "runs/small/config.resolved.yaml").read_text())
    assert resolved["models"]["weak"] == f"hub:org/tiny@{OLD}"

    (cache / "refs/main").write_text(NEW)  # the world moves on, and the study does not
    again = face.run(study)
    assert again.code == 0 and "hub:org/tiny is" not in again.err
    assert face.results()["steps"]["executed"] == 0


def test_from_python_a_name_means_what_the_lock_says(
    face: Face, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = w2s.Study.from_yaml(face.folder / face.study({"models.weak": "hub:org/tiny", "seeds": [0]}))
    where = {"store": face.store, "runs": face.folder / "runs", "local": True}
    study.run(**where)
    assert "study.lock keeps it" in capsys.readouterr().err
    assert lock(face) == {"models": {"org/tiny": OLD}}
    (cache / "refs/main").write_text(NEW)
    again = study.with_(seeds=[0]).run(**where)
    assert again.data.steps.executed == 0 and again.config["models"]["weak"] == f"hub:org/tiny@{OLD}"
    assert "hub:org/tiny is" not in capsys.readouterr().err


def test_pins_leave_whom_a_study_tells(tmp_path: Path) -> None:
    models = {"weak": "hub:org/a", "strong": "world/micro"}
    study = expand(SMALL | {"models": models, "track": ["jsonl"], "notify": "$HOOK"}, tmp_path)
    made = pinned(study, dict.fromkeys(pins_of(study), NEW))
    assert made.config.models.weak == f"hub:org/a@{NEW}"
    assert study.config.track and (made.config.track, made.config.notify) == (study.config.track, study.config.notify)


def test_neither_hub_nor_cache_is_a_line_that_says_what_to_do(face: Face, cache: Path) -> None:
    refusal = face.w2s("run", face.study({"models.weak": "hub:org/other"}), "--local").refusal
    assert refusal.startswith("w2s: models: hub:org/other has no commit, and this machine's cache knows no main of it")
    assert "unset it and run once with a network" in refusal
    data = face.w2s("run", face.study({"task.data": "hub:org/rows#train"}), "--local").refusal
    assert "task.data: hub:org/rows has no commit" in data
    assert "https://huggingface.co/datasets/org/rows/commits/main" in data
    assert not (face.folder / "study.lock").exists()


def test_the_hub_is_asked_once_and_again_when_told(face: Face, hub: Hub) -> None:
    face.study({"models.weak": "hub:org/tiny", "models.strong": "hub:org/tiny@v1.0"})
    hub.commits |= {"/api/models/org/tiny/revision/main": OLD, "/api/models/org/tiny/revision/v1.0": DATA}
    made = face.w2s("pin", "study.yaml")
    assert made.code == 0, made.err
    by = f", told now by {constants.ENDPOINT})"
    assert made.out.splitlines() == [f"hub:org/tiny  {OLD} (new{by}", f"hub:org/tiny@v1.0  {DATA} (new{by}"]
    text = (face.folder / "study.lock").read_text()
    assert text.startswith("# The commits that names of the hub in study.yaml mean.")
    assert lock(face) == {"models": {"org/tiny": OLD, "org/tiny@v1.0": DATA}}

    hub.commits["/api/models/org/tiny/revision/main"] = NEW
    asked = len(hub.asked)
    assert face.w2s("pin", "study.yaml").out.splitlines()[0] == f"hub:org/tiny  {OLD}"
    assert len(hub.asked) == asked, "what the lock has is not asked for"
    one = face.w2s("pin", "study.yaml", "org/tiny@v1.0").out
    assert one.splitlines() == [f"hub:org/tiny  {OLD}", f"hub:org/tiny@v1.0  {DATA} (the same{by}"]
    moved = face.w2s("pin", "study.yaml", "--update").out
    assert moved.splitlines() == [
        f"hub:org/tiny  {OLD} -> {NEW} (moved{by}",
        f"hub:org/tiny@v1.0  {DATA} (the same{by}",
    ]
    assert lock(face)["models"]["org/tiny"] == NEW
    face.study({"models.weak": "hub:org/tiny"})
    assert "hub:org/tiny@v1.0  dropped: the study does not name it" in face.w2s("pin", "study.yaml", "--update").out
    assert "'org/tinny' is no name of the hub" in face.w2s("pin", "study.yaml", "org/tinny").refusal


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, "RepoNotFound"), "is not on the hub or is private; check the spelling at https://huggingface.co/org/x"),
        ((404, "RevisionNotFound"), "has no 'main'; https://huggingface.co/org/x/commits/main lists its commits"),
        ((403, "GatedRepo"), "is gated; ask for access at https://huggingface.co/org/x"),
        ((500, ""), "this machine's cache knows no main of it: the hub does not answer ("),
        ("no commit", "the hub does not answer (it gave 'no commit' as the commit)"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_line(face: Face, hub: Hub, answer: Any, said: str) -> None:
    hub.commits["/api/models/org/x/revision/main"] = answer
    refusal = face.w2s("pin", face.study({"models.strong": "hub:org/x"})).refusal
    assert refusal.startswith("w2s: models: hub:org/x ") and said in refusal


@pytest.mark.parametrize("how", ["silent", "broken"])
def test_a_hub_that_is_away_leaves_what_the_cache_knows(
    face: Face, hub: Hub, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "silent":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    hub.commits["/api/models/org/tiny/revision/main"] = (503, "")
    ended = face.w2s("pin", face.study({"models.weak": "hub:org/tiny"}))
    assert f"hub:org/tiny  {OLD} (new, told by this machine's cache (the hub does not answer (" in ended.out


def test_every_place_of_a_name_is_pinned_and_no_other_text(tmp_path: Path) -> None:
    raw = SMALL | {
        "hypothesis": "hub:org/a is better",
        "task": {"data": "hub:org/rows/config#train", "test_data": "hub:org/rows/config#test",
                 "pool_data": f"hub:org/rows@{OLD}", "columns": {"text": "hub:org/x"}},
        "models": {"weak": "hub:org/a", "strong": f"hub:org/b@{OLD}"},
        "methods": [{"type": "bootstrap", "ladder": ["hub:org/c", "world/nano"]}],
        "train": {"strong": {"prompt": "hub:{text}"}, "by_model": {"hub:org/a": {"lr": 1e-3}}},
        "grid": {"models.strong": ["hub:org/a", "hub:gpt2@v2"], "task.max_words": [5, 6]},
        "tune": {"space": {"models.weak": {"choice": ["hub:org/e", "world/nano"]},
                           "train.weak.lr": {"log": [1e-4, 1e-3], "when": {"models.weak": "hub:org/e"}}},
                 "first": [{"models.weak": "hub:org/e", "train.weak.lr": 1e-3}]},
    }  # fmt: skip
    study = expand(raw, tmp_path)
    pins = pins_of(study)
    assert [(pin.what, str(pin)) for pin in pins] == [
        ("dataset", "org/rows"), ("model", "gpt2@v2"), ("model", "org/a"), ("model", "org/c"), ("model", "org/e"),
    ]  # fmt: skip
    made = pinned(study, {pin: DATA if pin.what == "dataset" else NEW for pin in pins}).raw
    assert made["hypothesis"] == raw["hypothesis"]
    assert made["task"] == {
        "data": f"hub:org/rows/config@{DATA}#train", "test_data": f"hub:org/rows/config@{DATA}#test",
        "pool_data": f"hub:org/rows@{OLD}", "columns": {"text": "hub:org/x"},
    }  # fmt: skip
    assert made["models"] == {"weak": f"hub:org/a@{NEW}", "strong": f"hub:org/b@{OLD}"}
    assert made["methods"][0]["ladder"] == [f"hub:org/c@{NEW}", "world/nano"]
    assert made["train"] == {"strong": {"prompt": "hub:{text}"}, "by_model": {f"hub:org/a@{NEW}": {"lr": 1e-3}}}
    assert made["grid"]["models.strong"] == [f"hub:org/a@{NEW}", f"hub:gpt2@{NEW}"]
    assert made["tune"]["space"]["models.weak"]["choice"] == [f"hub:org/e@{NEW}", "world/nano"]
    assert made["tune"]["space"]["train.weak.lr"]["when"] == {"models.weak": f"hub:org/e@{NEW}"}
    assert made["tune"]["first"] == [{"models.weak": f"hub:org/e@{NEW}", "train.weak.lr": 1e-3}]
    assert pins_of(pinned(study, dict.fromkeys(pins, NEW))) == []


def test_a_study_that_extends_another_takes_its_pins_and_both_locks_travel(face: Face, cache: Path) -> None:
    face.study({"models.weak": "hub:org/tiny"}, file="base.yaml")
    (face.folder / "base.lock").write_text(f"models: {{org/tiny: {OLD}}}\n")
    (face.folder / "study.yaml").write_text("extends: base.yaml\nmodels: {strong: hub:org/tiny@main}\nname: small\n")
    (cache / "refs/main").write_text(NEW)
    ended = face.w2s("plan", "study.yaml")
    assert "hub:" not in ended.err, "`@main` is the same name as none"
    assert {params["params"]["model"] for params in keys(face).values() if "model" in params["params"]} == {
        f"org/tiny@{OLD}"
    }
    own = Lock.beside(face.folder / "study.yaml")
    own.pins[Pin("model", "org/tiny")] = NEW
    own.write()
    package = package_of(face.folder / "study.yaml", load_study(face.folder / "study.yaml"))
    assert {str(file) for file in package.files} == {"study.yaml", "study.lock", "base.yaml", "base.lock"}
    assert Lock.beside(face.folder / "study.yaml").get(Pin("model", "org/tiny")) == NEW, "its own stands above"


@pytest.mark.parametrize("text", ["models: {org/tiny: main}", "models: [1]", "others: {org/tiny: 1}", "[]", "a: ["])
def test_a_lock_that_was_written_by_hand_is_refused_if_it_says_nothing(face: Face, cache: Path, text: str) -> None:
    (face.folder / "study.lock").write_text(text)
    assert "study.lock" in face.w2s("plan", face.study({"models.weak": "hub:org/tiny"})).refusal


def test_a_lock_that_cannot_be_written_is_a_warning(face: Face, cache: Path) -> None:
    (face.folder / "study.lock").mkdir()
    ended = face.run({"models.weak": "hub:org/tiny", "seeds": [0]})
    assert ended.code == 0, ended.err
    assert "study.lock cannot be written (Is a directory)" in ended.err


def test_a_study_that_is_detached_keeps_its_pins(face: Face, cache: Path) -> None:
    face.monkeypatch.setattr(detach, "_start", lambda log: SimpleNamespace(pid=1))
    face.monkeypatch.setattr(detach, "_await_first_word", lambda process, store: None)
    ended = face.w2s("run", face.study({"models.weak": "hub:org/tiny"}), "--detach")
    assert ended.code == 0, ended.err
    assert "study.lock keeps it" in ended.err
    assert lock(face) == {"models": {"org/tiny": OLD}}


def test_rows_are_exported_as_a_plan_pins_them(face: Face, cache: Path) -> None:
    refs = cache.parent / "datasets--org--rows/refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(DATA)
    exported: list[str] = []

    def export(study: Study, *_: object, **__: object) -> dict[str, int]:
        exported.append(study.config.task.data)
        return {}

    face.monkeypatch.setattr("w2s_ray.cli.export.export", export)
    ended = face.w2s("data", "export", face.study({"task.data": "hub:org/rows#train"}), "--out", "rows")
    assert ended.code == 0, ended.err
    assert exported == [f"hub:org/rows@{DATA}#train"]
    assert f"hub:org/rows is {DATA}" in ended.err and "not kept" in ended.err
    assert not (face.folder / "study.lock").exists()


def test_a_first_study_has_the_commit_in_it(face: Face, cache: Path) -> None:
    strange = face.w2s("init", "--yes", "--weak", "hub:org/other")
    assert "models: hub:org/other has no commit" in strange.refusal
    ended = face.w2s("init", "--yes", "--weak", "hub:org/tiny")
    assert ended.code == 0, ended.err
    assert f"hub:org/tiny is {OLD}, told by this machine's cache" in ended.err
    written = yaml.safe_load((face.folder / "study.yaml").read_text())
    assert written["models"] == {"weak": f"hub:org/tiny@{OLD}", "strong": "world/small"}
    assert face.w2s("plan", "study.yaml").code == 0


def test_a_lock_that_pin_cannot_write_is_a_line(face: Face, cache: Path) -> None:
    (face.folder / "study.lock").mkdir()
    refusal = face.w2s("pin", face.study({"models.weak": "hub:org/tiny"})).refusal
    assert "study.lock cannot be written (Is a directory)" in refusal
    assert "write them after an @ into the study" in refusal
