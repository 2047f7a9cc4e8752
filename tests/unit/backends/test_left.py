"""What a step leaves in a process that goes on."""

from __future__ import annotations

import pytest

from w2s_ray.backends.devices import left


@pytest.fixture(autouse=True)
def _of_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left, "_first", [])


def test_memory_that_grows_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([10**9, 10**9 + left.GROWN_BYTES, 10**9 + left.GROWN_BYTES + 1])
    monkeypatch.setattr(left, "_resident_bytes", lambda: next(sizes))
    assert [left.is_clean() for _ in range(3)] == [True, True, False]


def test_memory_that_stays_on_a_device_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is a stand-in: this machine may have none."""
    import torch

    emptied: list[bool] = []
    stays = [0]
    for name, stand_in in {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "empty_cache": lambda: emptied.append(True),
        "device_count": lambda: 2,
        "memory_allocated": lambda device: stays[0] if device == 1 else 0,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    assert left.is_clean() and emptied
    stays[0] = left.LEFT_BYTES + 1
    assert not left.is_clean()


def test_what_this_process_holds_is_read() -> None:
    assert left._resident_bytes() > 10**7
