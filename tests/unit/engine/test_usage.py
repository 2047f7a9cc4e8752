"""How much of a store is what, on a disk and on an object store."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from w2s_ray.cli.status import _in_bytes
from w2s_ray.engine.execute import put_content
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.store import open_store
from w2s_ray.engine.usage import usage


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_every_file_counts_for_its_step(kind: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store") if kind == "disk" else f"memory://{uuid4().hex}")
    assert usage(store) == {}

    def save(folder: Path) -> None:
        (folder / "in").mkdir(parents=True)
        (folder / "in/file").write_bytes(b"x" * 1000)

    for n, step in enumerate(("train", "train", "embed")):
        put_content(store, Key(step, "m", f"{n}" * 64), 1, {}, save)
    store.write("train/m-left/a0/half", b"x" * 50)
    store.write("drivers/someone", b"x" * 7)
    found = usage(store)
    assert {step: used.artifacts for step, used in found.items()} == {"train": 2, "embed": 1, "drivers": 0}
    record = found["embed"].size - 1000
    assert 0 < record < 5000
    assert abs(found["train"].size - 2050 - 2 * record) < 50
    assert found["drivers"].size == 7


@pytest.mark.parametrize(("size", "shown"), [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.23 kB"), (5e14, "500 TB")])
def test_sizes_are_said_with_three_digits(size: float, shown: str) -> None:
    assert _in_bytes(size) == shown
