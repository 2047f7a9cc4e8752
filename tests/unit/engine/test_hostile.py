"""Whatever bytes lie in a store: what was written, a repair, or one line; never a file outside."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ADD

from w2s_ray.core.errors import DamagedArtifact, IdentityError, StepFailed, StoreError
from w2s_ray.engine import store as module
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import Event, StepEvent, parse_progress
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import Holder, Leases
from w2s_ray.engine.record import Failure, Record
from w2s_ray.engine.store import open_store

KEY = Key("train", "m", "ab" * 32)
RECORD = Record(KEY.full, "train", 1, {"lr": 0.1}, {}, "a1", {"x.txt": {"bytes": 2, "sha256": "0" * 64}}, {"x": 1})


def sealed(fields: Any) -> bytes:
    """As an attacker would who knows the format."""
    rest = json.dumps(fields, indent=1).encode().removeprefix(b"{\n")
    return b'{\n "checksum": "%s",\n' % hashlib.sha256(rest).hexdigest().encode() + rest


def changed(**fields: Any) -> bytes:
    return sealed({k: v for k, v in (json.loads(RECORD.dumps()) | fields).items() if k != "checksum" and v is not ...})


@given(st.integers(0, len(RECORD.dumps()) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_record_is_what_was_written_or_refused(at: int, flip: int) -> None:
    data = bytearray(RECORD.dumps())
    data[at] ^= flip
    with pytest.raises(ValueError):
        Record.loads(bytes(data))
    assert Record.loads(RECORD.dumps()) == RECORD


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ).map(sealed)
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_record_a_failure_or_neither(data: bytes) -> None:
    for kind in (Record, Failure):
        with pytest.raises(ValueError):
            kind.loads(data)
    assert Holder.loads(data).driver.startswith("unreadable-")


HOSTILE = {
    "a name with dots": changed(files={"../../x": {"bytes": 1, "sha256": "0" * 64}}),
    "an absolute name": changed(files={"/tmp/x": {"bytes": 1, "sha256": "0" * 64}}),
    "a name of Windows": changed(files={"..\\x": {"bytes": 1, "sha256": "0" * 64}}),
    "an attempt with dots": changed(attempt="../../../etc"),
    "an absolute attempt": changed(attempt="/etc"),
    "no attempt": changed(attempt=""),
    "files as a list": changed(files=[]),
    "a number as text": changed(seconds="1"),
    "a missing field": changed(value=...),
    "a field too many": changed(more=1),
    "1,000 nested lists": changed(params={"a": "NEST"}).replace(b'"NEST"', b"[" * 1000 + b"]" * 1000),
    "an integer of 5,000 digits": RECORD.dumps().replace(b'"pid": ', b'"pid": ' + b"9" * 5000),
    "another digit in its key": changed(key=KEY.full.replace("ab", "ac", 1)),
    "nothing": b"",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_record_is_damage(tmp_path: Path, data: bytes) -> None:
    store = open_store(str(tmp_path))
    store.write(f"{KEY.path}/record.json", data)
    with pytest.raises(DamagedArtifact):
        store.open(KEY)
    with Context(store, InlineExecutor) as context:
        assert context.store.failure(KEY) is None


def test_what_a_record_says_is_never_written_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    store = open_store(f"memory://{uuid4().hex}")
    store.write(f"{KEY.path}/a1/x.txt", b"evil")
    store.fs.pipe_file(f"{store.root}/{KEY.path}/evil", b"evil")
    for name in ("../../../evil", "x.txt"):
        store.forget(KEY)
        store.write(f"{KEY.path}/record.json", changed(files={name: {"bytes": 4, "sha256": "0" * 64}}))
        with pytest.raises(DamagedArtifact):
            store.open(KEY)
    there = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not there, "not even in the cache: its checksum is another"


@pytest.mark.parametrize("scheme", ["disk", "memory", "s3"])
def test_of_a_huge_record_the_beginning_is_read(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(module, "LARGEST", 10_000)
    urls = {"disk": lambda: str(tmp_path), "memory": lambda: f"memory://{uuid4().hex}"}
    url = f"{request.getfixturevalue('s3_server')}/{uuid4().hex}" if scheme == "s3" else urls[scheme]()
    store = open_store(url)
    store.write(f"{KEY.path}/record.json", changed(value={"x": "y" * 100_000}))
    assert len(store.read(f"{KEY.path}/record.json") or b"") == 10_000
    with pytest.raises(DamagedArtifact):
        store.open(KEY)
    assert list(store.finished()) == []
    store.write("stops/empty", b"")
    assert store.read("stops/empty") == b""
    assert store.read("stops/none") is None


def test_a_file_is_fetched_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    store = open_store(f"memory://{uuid4().hex}")
    data = b"weights" * 1000
    store.write(f"{KEY.path}/a1/x.bin", data)
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    store.write(f"{KEY.path}/record.json", changed(files={"x.bin": facts}))
    fetched = []
    get = store.fs.get_file

    def slow(remote: str, local: str) -> None:
        fetched.append(remote)
        time.sleep(0.2)
        get(remote, local)

    monkeypatch.setattr(store.fs, "get_file", slow)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda n: replace(store, _verified={}).open(KEY), range(4)))
    assert {(artifact.path / "x.bin").read_bytes() for artifact in opened} == {data}
    assert len(fetched) == 1


def test_another_artifact_with_the_same_digits_is_told_apart_from_damage(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write(f"{KEY.path}/record.json", changed(key=KEY.full[:-1] + "c"))
    with pytest.raises(StoreError, match="same 12 digits"):
        store.record(KEY)


@pytest.mark.parametrize(
    "text", ["", "x", "train/m", "../x-" + "ab" * 32, "train/../m-" + "ab" * 32, "train/m-" + "AB" * 32]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(IdentityError, match="not a key"):
        Key.parse(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 2000,
        b'{"driver": "../x", "machine": "m", "pid": 1, "started": ""}',
        b'{"driver": 3, "machine": "m", "pid": "x", "started": ""}',
    ],
)
def test_a_lease_that_cannot_be_read_is_dead_after_its_time(tmp_path: Path, data: bytes) -> None:
    store = open_store(str(tmp_path))
    store.write(f"leases/{KEY.digest}.0", data)
    leases = Leases(store, stale_s=0.05, heartbeat_s=0.01)
    assert leases.acquire(KEY) is not None
    time.sleep(0.2)
    assert leases.acquire(KEY) is None
    leases.close()
    assert not store.fs.glob(f"{store.root}/leases/*")


def test_many_damaged_inputs_are_all_mended(tmp_path: Path, notes: Path) -> None:
    """Repairs are counted by what was damaged, not by who met it."""
    url = str(tmp_path / "store")
    with Context(open_store(url), InlineExecutor) as context:
        ones = [context.submit(ADD, {"number": n}) for n in range(6)]
        paths = [one.artifact().path / "number.txt" for one in ones]
    for path in paths:
        path.write_text("999")
    open_store.cache_clear()  # a new process has verified nothing
    with Context(open_store(url), InlineExecutor) as context:
        total = context.submit(ADD, {"number": 0}, {"all": tuple(context.submit(ADD, {"number": n}) for n in range(6))})
        assert total.value == {"total": 15}


def test_who_listens_may_fail_and_the_steps_go_on(tmp_path: Path, notes: Path) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise SystemExit(1)  # what rich does where its pipe is closed

    with Context(open_store(str(tmp_path / "store")), InlineExecutor, sinks=[broken, heard.append]) as context:
        assert context.submit(ADD, {"number": 1}, {"x": context.submit(ADD, {"number": 2})}).value == {"total": 3}
    assert sum(isinstance(event, StepEvent) and event.what == "done" for event in heard) == 2, "others hear it all"


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'"x"', b"[" * 5000, b'{"step": "x", "loss": [1]}', b"\xff\x00"])
def test_progress_that_is_none_tells_nothing(data: bytes) -> None:
    assert parse_progress(data) == {}


def test_a_full_disk_is_one_line_with_a_remedy(tmp_path: Path, notes: Path) -> None:
    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as context:
        with pytest.raises(
            StepFailed, match=r"No space left on device at .*; free space there, or give another store with --store"
        ) as caught:
            context.submit(ADD, {"number": 1, "full": True}).record()
        assert "Traceback" not in caught.value.traceback
