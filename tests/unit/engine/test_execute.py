"""One call in one worker: what it publishes, what it leaves behind, and what the driver is told when it goes wrong."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from w2s_ray.core.errors import (
    ConfigError,
    DamagedArtifact,
    OutOfMemory,
    PeerLost,
    ResourceError,
    StepFailed,
    StoreError,
)
from w2s_ray.core.resources import Resources
from w2s_ray.engine.execute import Work, execute, execute_dealt, is_done, put_content
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import REPAIRS, Handle, Node, needs
from w2s_ray.engine.record import Record
from w2s_ray.engine.step import JSON, Call, Handling, Rider, Stack, Step
from w2s_ray.engine.store import Store, WorkPlace, open_store

HERE = __name__
STEP = Step("write", 1, f"{HERE}:write", lambda params, inputs: "x")
RIDER = Step("echo", 1, "", lambda params, inputs: "x")


def write(work: Work) -> JSON:
    """Writes a file and its riders' files; stumbles in the middle where it is told to."""
    (work.out / "x.txt").write_text(work.params.get("text", ""))
    for rider in work.call.riders:
        text = f"{work.params['text']}, {rider.params['said']}"

        def save(folder: Path, text: str = text) -> None:
            (folder / "x.txt").write_text(text)

        work.put_rider(rider, save)
    if "stumble" in work.params:
        raise STUMBLES[work.params["stumble"]]
    return {"fresh": work.fresh, "length": len(work.params.get("text", ""))}


def write_many(works: Sequence[Work]) -> list[JSON | Exception]:
    made: list[JSON | Exception] = []
    for work in works:
        try:
            made.append(write(work))
        except Exception as error:  # noqa: BLE001  (each for itself)
            made.append(error)
    return made


STUMBLES: dict[str, Exception] = {
    "value": ValueError("the text is too short"),
    "nan": FloatingPointError("nan"),
    "disk": OSError(errno.ENOSPC, "No space left on device", "/x"),
    "store": StoreError("the store does not answer; look after it"),
    "config": ConfigError("train.lr is 0; it must be above 0"),
    "resources": ResourceError("gpus is 8; this machine has 0"),
    "memory": OutOfMemory(4096, 512, "cpu"),
    "peer": PeerLost("another is gone"),
    "damage": DamagedArtifact("dataset/x-" + "ab" * 32, "a1"),
}


def call(store_url: str, *, riders: Sequence[str] = (), handling: Handling | None = None, **params: Any) -> Call:
    key = STEP.key(params, {})
    return Call(
        store_url, key, STEP.name, 1, STEP.entry, params, {}, Resources(), "me", handling or Handling(),
        tuple(rider(key, said) for said in riders),
    )  # fmt: skip


def rider(key: Key, said: str) -> Rider:
    return Rider(RIDER.key({"said": said}, {"model": key}), RIDER.name, 1, {"said": said}, {"model": key})


def text(url: str, key: Key) -> str:
    return (open_store(url).open(key).path / "x.txt").read_text()


def attempts(url: str, key: Key) -> list[str]:
    return [path.name for path in (Path(url) / key.path).glob("a*") if path.is_dir()]


def test_a_call_is_done_when_its_record_and_those_of_its_riders_are_there(store_url: str) -> None:
    asked = call(store_url, riders=["yes", "no"], text="hello")
    assert not is_done(asked)
    execute(asked)
    assert is_done(asked)
    store = open_store(store_url)
    record = store.record(asked.key)
    assert record is not None and record.value == {"fresh": True, "length": 5} and set(record.files) == {"x.txt"}
    assert [text(store_url, one.key) for one in asked.riders] == ["hello, yes", "hello, no"]
    assert {store.record(one.key).made_by for one in asked.riders} == {asked.key.full}  # type: ignore[union-attr]


def test_a_call_that_only_lacks_a_rider_leaves_its_own_result_alone(store_url: str) -> None:
    execute(call(store_url, text="hello"))
    before = open_store(store_url).record(STEP.key({"text": "hello"}, {}))
    late = call(store_url, riders=["late"], text="hello")
    assert not is_done(late)
    execute(late)
    assert is_done(late) and text(store_url, late.riders[0].key) == "hello, late"
    open_store.cache_clear()
    assert open_store(store_url).record(late.key) == before
    assert before is not None and attempts(store_url, late.key) == [before.attempt], (
        "what the second call wrote is gone"
    )


def test_who_does_not_lead_computes_and_publishes_nothing(store_url: str) -> None:
    asked = call(store_url, riders=["yes"], text="hello")
    execute(asked, leads=False)
    assert not is_done(asked) and not list(open_store(store_url).finished())
    assert attempts(store_url, asked.key) == []


@pytest.mark.parametrize("stumble", ["value", "nan"])
def test_an_error_of_a_step_is_recorded_with_the_workers_last_lines(store_url: str, stumble: str) -> None:
    asked = call(store_url, stumble=stumble)
    with pytest.raises(StepFailed, match=f"{type(STUMBLES[stumble]).__name__}: {STUMBLES[stumble]}") as caught:
        execute(asked, lambda: "the last lines")
    failure = open_store(store_url).failure(asked.key)
    assert failure is not None and (failure.driver, failure.log) == ("me", "the last lines") == ("me", caught.value.log)
    assert "in write" in failure.traceback == caught.value.traceback
    assert attempts(store_url, asked.key) == [] and not is_done(asked)


@pytest.mark.parametrize("stumble", ["config", "resources", "memory", "peer", "damage"])
def test_what_the_driver_must_judge_comes_as_it_is_and_is_no_failure_of_the_step(store_url: str, stumble: str) -> None:
    asked = call(store_url, stumble=stumble)
    with pytest.raises(type(STUMBLES[stumble])) as caught:
        execute(asked)
    assert caught.value is STUMBLES[stumble]
    assert open_store(store_url).failure(asked.key) is None and attempts(store_url, asked.key) == []


def test_what_a_process_was_dealt_ends_with_an_error_each_or_none(store_url: str) -> None:
    assert execute_dealt([call(store_url, text="hello")]) == [None]
    (error,) = execute_dealt([call(store_url, stumble="value")])
    assert isinstance(error, StepFailed)
    group = Handling(stack=Stack("g", f"{HERE}:write_many"))
    errors = execute_dealt([call(store_url, handling=group, text=t, **s) for t, s in (
        ("hello", {}), ("a", {}), ("b", {"stumble": "value"}), ("c", {"stumble": "config"}),
    )])  # fmt: skip
    assert [type(one) for one in errors] == [type(None), type(None), StepFailed, ConfigError]


# --- handles ---


class Repairs:
    """A run whose files are damaged so many times."""

    def __init__(self, store: Store, damaged: int) -> None:
        self.store, self.damaged, self.repaired = store, damaged, 0

    def open(self, key: Key) -> Any:
        if self.repaired < self.damaged:
            raise DamagedArtifact(key.full, "a1")
        return self.store.open(key)

    def repair(self, damaged: DamagedArtifact) -> None:
        self.repaired += 1


def node(name: str, inputs: dict[str, Any] | None = None, owner: Node | None = None, *, done: bool = False) -> Node:
    key = Key("step", name, name.encode().hex().ljust(64, "0"))
    made = Node(key, STEP, {}, inputs or {}, Resources(), owner=owner)
    if done:
        made.future.set_result(Record(key.full, "step", 1, {}, {}, "a1", {}, {"name": name}))
    return made


def handle(of: Node) -> Handle:
    return Handle(None, of)  # type: ignore[arg-type]  # nobody looks into it


@pytest.mark.parametrize("damaged", range(REPAIRS + 2))
def test_files_that_are_damaged_are_made_again_so_often_and_no_more(store_url: str, damaged: int) -> None:
    made = node("a", done=True)
    store = open_store(store_url)
    put_content(store, made.key, 1, {}, lambda folder: (folder / "x.txt").write_text("whole") and None)
    run = Repairs(store, damaged)
    if damaged <= REPAIRS:
        assert (Handle(run, made).artifact().path / "x.txt").read_text() == "whole"
        assert run.repaired == damaged
    else:
        with pytest.raises(StepFailed, match="damaged each time they are made; check the disk"):
            Handle(run, made).artifact()


def test_a_rider_comes_after_its_owner_only_where_it_needs_what_the_owner_makes() -> None:
    owner = node("owner")
    child = node("child", {"x": handle(owner)})
    grandchild = node("grandchild", {"more": (handle(node("else")), handle(child))})
    sibling = node("sibling", {}, owner)
    assert not needs(node("rider", {"model": handle(owner)}, owner), owner), "the owner itself is at hand"
    assert not needs(node("rider", {"model": handle(owner), "data": handle(node("else"))}, owner), owner)
    for data in (child, grandchild, sibling):
        assert needs(node("rider", {"model": handle(owner), "data": handle(data)}, owner), owner)


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_nothing_is_left_of_what_could_not_be_saved(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the store nor, where it is not on a disk, among the temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    url = str(tmp_path / "store") if where == "disk" else f"memory://{uuid4().hex}"
    store, key = open_store(url), STEP.key({"text": "x"}, {})

    def save(folder: Path) -> None:
        (folder / "x.txt").write_text("half of it")
        raise ValueError("no more room in the head")

    with pytest.raises(ValueError, match="no more room"):
        put_content(store, key, 1, {}, save)
    asked = call(url, text="y")
    work = Work(asked, store, {}, tmp_path, WorkPlace(store, asked.key), "a" * 13, True)
    with pytest.raises(ValueError, match="no more room"):
        work.put(key, {}, {}, 1, save)
    assert not any((tmp_path / "tmp").iterdir())
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert attempts(url, key) == []
    put_content(store, key, 1, {}, lambda folder: (folder / "x.txt").write_text("whole") and None)
    assert text(url, key) == "whole"
    assert not any((tmp_path / "tmp").iterdir())
