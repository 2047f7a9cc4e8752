"""What dead drivers and killed attempts left goes; what a living one may hold, results and checkpoints stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from w2s_ray.engine.clean import find, remove
from w2s_ray.engine.execute import new_attempt, put_content
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import Holder, Leases
from w2s_ray.engine.store import Store, WorkPlace, open_store

DONE, BEGUN, OTHER = (Key("train", "m", two * 32) for two in ("ab", "cd", "ef"))
DEAD = Holder("0" * 32, Holder.me().machine, 2**22 + 1, "1")  # no process has this id


@pytest.fixture(params=["disk", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    if request.param == "s3":
        return open_store(f"{request.getfixturevalue('s3_server')}/{uuid4().hex}")
    return open_store(str(tmp_path / "store") if request.param == "disk" else f"memory://{uuid4().hex}")


def files(store: Store) -> set[str]:
    return {path.partition(f"{store.root.lstrip('/')}/")[2] for path in store.fs.find(store.root)}


def litter(store: Store) -> set[str]:
    """A finished artifact and a checkpoint, which must stay; and what must go. Returns what must stay."""
    put_content(store, DONE, 1, {}, lambda folder: (folder / "x.txt").write_text("hello") and None)
    place = WorkPlace(store, BEGUN)
    (place.scratch / "t").write_text("half a fit")
    place.keep("fit.safetensors", place.scratch / "t")
    stay = files(store)
    for key in (DONE, BEGUN):
        store.write(f"{key.path}/{new_attempt()}/x.txt", b"half")
    store.write(f"{DONE.path}/work/fit.safetensors", b"of a fit that is done")
    store.write(f"{DONE.path}/record.damaged-00000000.json", b"{")
    store.write(f"drivers/{DEAD.driver}", DEAD.dumps(count=3))
    store.write(f"leases/{OTHER.digest}.0", DEAD.dumps(key=OTHER.full))
    store.write(f"leases/{BEGUN.digest}.0", b"")
    store.write("ray-train/x/notes.json", b"{}")
    return stay


def test_what_the_dead_left_goes_and_all_else_stays(store: Store) -> None:
    stay = litter(store)
    before = files(store)
    found = find(store, stale_s=0.1)
    assert files(store) == before, "looking changes nothing"
    assert not found.living
    remove(store, found)
    assert files(store) == stay
    assert (store.open(DONE).path / "x.txt").read_text() == "hello"
    assert WorkPlace(store, BEGUN).fetch("fit.safetensors") is not None
    assert not find(store, stale_s=0.1).leftovers


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_what_the_living_hold_stays(store: Store, where: str) -> None:
    litter(store)
    holder = Holder.me() if where == "here" else replace(Holder.me(), machine="another")
    living = Leases(store, holder, heartbeat_s=0.05)
    assert living.acquire(DONE) is None
    attempts = {name for name in files(store) if name.startswith("train/") or name.startswith("ray-train/")}
    found = find(store, stale_s=1.5)
    assert [one.driver for one in found.living] == [holder.driver]
    remove(store, found)
    left = files(store)
    assert attempts <= left
    assert {f"leases/{DONE.digest}.0", f"drivers/{holder.driver}"} <= left
    assert f"leases/{OTHER.digest}.0" not in left
    living.close()


def test_a_lease_that_was_taken_meanwhile_is_left_alone(store: Store) -> None:
    litter(store)
    found = find(store, stale_s=0.1)
    store.remove(f"leases/{OTHER.digest}.0")
    living = Leases(store)
    assert living.acquire(OTHER) is None
    remove(store, found)
    assert Holder.loads(store.read(f"leases/{OTHER.digest}.0") or b"") == living.holder
    living.close()
