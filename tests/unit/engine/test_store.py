"""The store on a disk, in memory and on an S3 server: exclusive create, whole files, checksums, damage."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest

from w2s_ray.core.errors import ConfigError, DamagedArtifact, StoreError
from w2s_ray.engine.execute import put_content
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Failure, Record
from w2s_ray.engine.store import Store, WorkPlace, open_store

KEY = Key("train", "m", "ab" * 32)


def record(attempt: str = "a1") -> Record:
    return Record(KEY.full, "train", 1, {"lr": 0.1}, {}, attempt, {}, {"x": 1})


@pytest.fixture(params=["disk", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return open_store(f"{request.getfixturevalue('s3_server')}/{uuid4().hex}")
    return open_store(str(tmp_path / "store") if request.param == "disk" else f"memory://{uuid4().hex}")


def test_probe_passes(store: Store) -> None:
    store.probe()
    assert not store.fs.glob(f"{store.root}/drivers/*")


def test_of_many_creators_one_wins(store: Store) -> None:
    for round_ in range(5):
        wins: list[bool] = []
        barrier = threading.Barrier(8)

        def race(
            n: int, name: str = f"leases/k.{round_}", wins: list[bool] = wins, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait()
            wins.append(store.create(name, str(n).encode()))

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(wins) == [False] * 7 + [True]


def test_an_artifact_is_there_when_its_record_is(store: Store) -> None:
    folder = store.attempt_folder(KEY, "a1")
    (folder / "sub").mkdir()
    (folder / "sub" / "x.txt").write_text("hello")
    files = store.upload(KEY, "a1", folder)
    assert not store.has(KEY)
    with pytest.raises(DamagedArtifact, match="not in the store"):
        store.open(KEY)
    assert store.commit(KEY, Record(KEY.full, "train", 1, {}, {}, "a1", files, {}))
    assert (store.open(KEY).path / "sub" / "x.txt").read_text() == "hello"
    assert list(store.finished("train")) == [KEY]


def test_the_first_record_stands_and_the_second_attempt_is_dropped(store: Store) -> None:
    for attempt in ("a1", "a2"):
        folder = store.attempt_folder(KEY, attempt)
        (folder / "x.txt").write_text(attempt)
        files = store.upload(KEY, attempt, folder)
        assert store.commit(KEY, Record(KEY.full, "train", 1, {}, {}, attempt, files, {})) == (attempt == "a1")
    other = Store(store.url, store.fs, store.root, store.local)
    assert (other.open(KEY).path / "x.txt").read_text() == "a1"
    assert not store.fs.exists(f"{store.root}/{KEY.path}/a2")


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damage_is_noticed_and_can_be_set_aside(
    store: Store, damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_content(store, KEY, 1, {}, lambda folder: (folder / "x.txt").write_text("hello") and None)
    path = f"{store.root}/{KEY.path}/{store.record(KEY).attempt}/x.txt"
    if damage == "gone":
        store.fs.rm(path)
    else:
        store.fs.pipe_file(path, {"changed": b"hellO", "cut": b"hell"}[damage])
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "another machine's cache"))
    fresh = Store(store.url, store.fs, store.root, store.local)
    with pytest.raises(DamagedArtifact):
        fresh.open(KEY)
    fresh.set_aside(KEY)
    assert not fresh.has(KEY)
    assert len(store.fs.glob(f"{store.root}/{KEY.path}/record.damaged-*.json")) == 1


def test_an_unreadable_record_is_damage_and_no_key(store: Store) -> None:
    store.write(f"{KEY.path}/record.json", b"{half")
    with pytest.raises(DamagedArtifact):
        store.record(KEY)
    assert list(store.finished()) == []


def test_a_create_whose_reply_was_lost_is_ours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store took the record, the client heard nothing, asked again, and was told that it exists."""
    real = Store.create
    monkeypatch.setattr(
        Store, "create", lambda self, name, data, **options: real(self, name, data, **options) and False
    )
    put_content(store, KEY, 1, {}, lambda folder: (folder / "x.txt").write_text("hello") and None)
    assert (Store(store.url, store.fs, store.root, store.local).open(KEY).path / "x.txt").read_text() == "hello"


def test_a_clash_of_short_hashes_is_no_hit(store: Store) -> None:
    store.commit(KEY, record())
    with pytest.raises(StoreError, match="same 12 digits"):
        Store(store.url, store.fs, store.root, store.local).record(Key("train", "m", "ab" * 6 + "00" * 26))


def test_a_failure_is_kept_until_a_success(store: Store) -> None:
    store.fail(KEY, Failure(KEY.full, "a1", "d", "E", "T"))
    assert store.failure(KEY).error == "E"
    store.commit(KEY, record())
    assert store.failure(KEY) is None


def test_work_is_kept_for_the_next_attempt(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = WorkPlace(store, KEY)
    for text in ("one", "two"):
        part = place.scratch / "part"
        part.write_text(text)
        place.keep("state", part)
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "another machine's cache"))
    found = WorkPlace(store, KEY).fetch("state")
    assert found is not None
    assert found.read_text() == "two"
    place.clear()
    assert WorkPlace(store, KEY).fetch("state") is None


@pytest.mark.parametrize("url", ["store", "~/store", "./x"])
def test_a_relative_path_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not absolute"):
        open_store(url)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="nope://x"):
        open_store("nope://x")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        open_store(str(tmp_path / "file" / "store")).probe()
