"""Threads that go one after another, until there is something to wait for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toys import ADD

from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.engine.turns import Turns


def test_one_goes_at_a_time_until_all_go_at_once() -> None:
    turns, inside, most = Turns(), [0], [0]

    def go(n: int) -> None:
        with turns.mine():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(go, range(16)))
        assert most == [1]
        both = threading.Barrier(8)

        def meet(n: int) -> None:
            with turns.mine():
                if n == 0:
                    turns.all_at_once()  # those who wait are let in, though this turn is not over
                both.wait(timeout=20)

        list(pool.map(meet, range(8)))


def test_an_error_ends_a_turn() -> None:
    turns = Turns()
    for _ in range(2):
        with pytest.raises(ValueError, match="mine"), turns.mine():
            raise ValueError("mine")


def test_what_is_in_the_store_is_no_reason_to_go_at_once(tmp_path: Path, notes: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    waited = []
    for _ in range(2):
        with Context(store, InlineExecutor) as ctx:
            for n in range(3):
                ctx.submit(ADD, {"number": n}).record()
            waited.append(ctx.turns._at_once)
    assert waited == [True, False]
    with Context(open_store("memory://far"), InlineExecutor) as ctx:
        assert ctx.turns._at_once, "a remote store's answers take their time"
