"""Leases: one holder, the dead are taken over from, the living are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import Holder, Leases
from w2s_ray.engine.store import Store, open_store

KEY = Key("train", "m", "ab" * 32)


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)


def elsewhere(store: Store, **kwargs: float) -> Leases:
    """A driver on another machine: judged by its heartbeat alone."""
    return Leases(store, replace(Holder.me(), machine="another"), **kwargs)


def test_one_holds_and_gives_back(store: Store) -> None:
    one, two = Leases(store), Leases(store)
    assert one.acquire(KEY) is None
    assert two.acquire(KEY) == one.holder
    assert one.acquire(KEY) is None
    one.release(KEY)
    assert two.acquire(KEY) is None
    two.close()
    one.close()
    assert not store.fs.find(store.root)


def test_a_killed_process_is_dead_at_once(store: Store, store_url: str) -> None:
    code = (
        "from w2s_ray.engine.lease import *; from w2s_ray.engine.store import open_store; from"
        f" w2s_ray.engine.fingerprint import Key; import time; Leases(open_store({store_url!r})).acquire(Key('train',"
        f" 'm', {'ab' * 32!r})); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    mine = Leases(store)
    assert mine.acquire(KEY) is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    started = time.monotonic()
    assert mine.acquire(KEY) is None
    assert time.monotonic() - started < 1
    mine.release(KEY)
    assert not store.fs.glob(f"{store.root}/leases/*"), "the dead generation goes with the living one"
    mine.close()


def test_a_silent_driver_elsewhere_is_taken_over_from_after_a_while_and_a_living_one_never(store: Store) -> None:
    silent, living = elsewhere(store, heartbeat_s=60), elsewhere(store, heartbeat_s=0.05)
    other = Key("train", "m", "cd" * 32)
    assert silent.acquire(KEY) is None
    assert living.acquire(other) is None
    mine = Leases(store, stale_s=0.5)
    assert mine.acquire(KEY) == silent.holder
    assert mine.acquire(other) == living.holder
    for _ in range(20):
        time.sleep(0.05)
        assert mine.acquire(other) == living.holder
    assert mine.acquire(KEY) is None
    silent.release(KEY)
    assert elsewhere(store).acquire(KEY) == mine.holder, "the old holder's release leaves the new one's lease"
    living.close()
    mine.close()


def test_a_reused_process_id_is_not_the_holder() -> None:
    assert not Holder.me().gone()
    assert replace(Holder.me(), started="1").gone()


def test_a_lease_names_its_key_for_people(store: Store) -> None:
    leases = Leases(store)
    leases.acquire(KEY)
    assert KEY.full in Path(f"{store.root}/leases/{KEY.digest}.0").read_text()
    leases.close()
