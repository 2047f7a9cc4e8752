"""A finished study whose store is damaged at random and run again: the same numbers, whatever the damage; never a
traceback."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from integration.face import Face

from w2s_ray.engine.store import open_store

TIMELESS = ("seconds", "placement")


def cells(face: Face) -> list[dict[str, Any]]:
    return [{name: value for name, value in cell.items() if name not in TIMELESS} for cell in face.results()["cells"]]


def damage(draw: random.Random, file: Path, others: list[Path]) -> str:
    """One thing that disks, syncing programs or people do to a file."""
    data = bytearray(file.read_bytes())
    what = draw.choice(["flip", "cut", "empty", "gone", "garbage", "nested", "another", "more"])
    if what == "gone":
        file.unlink()
        return what
    if what == "flip" and data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif what == "cut":
        data = data[: draw.randrange(len(data) + 1)]
    elif what == "empty":
        data = bytearray()
    elif what == "garbage":
        data = bytearray(draw.randbytes(200))
    elif what == "nested":
        data = bytearray(b"[" * 1000 + b"]" * 1000)
    elif what == "another":
        data = bytearray(draw.choice(others).read_bytes())
    elif what == "more":
        data += b" "
    file.write_bytes(data)
    return what


def _executed_again(face: Face, study: dict[str, Any]) -> int:
    open_store.cache_clear()
    assert face.run(study).code == 0
    return int(face.results()["steps"]["executed"])


def storm(face: Face, seeds: range, methods: Sequence[Any] = ("naive",)) -> None:
    study = {"seeds": [0], "methods": list(methods)}
    assert face.run(study).code == 0
    sound = cells(face)
    kept = face.folder / "kept"
    face.store.rename(kept)
    for seed in seeds:
        draw = random.Random(seed)
        shutil.copytree(kept, face.store)
        files = sorted(path for path in face.store.rglob("*") if path.is_file())
        done = [
            (str(file.relative_to(face.store)), damage(draw, file, files))
            for file in draw.sample(files, draw.choice([1, 1, 2, 5]))
        ]
        open_store.cache_clear()  # a new process has read nothing
        shutil.rmtree(face.folder / "runs")
        ended = face.run(study)
        assert "Traceback" not in ended.err, (seed, done, ended.err)
        assert ended.code == 0, (seed, done, ended.err)
        assert cells(face) == sound, (seed, done)
        for _ in range(4):  # what no number needed may be mended later
            if not (left := _executed_again(face, study)):
                break
        assert left == 0, (seed, done)
        shutil.rmtree(face.store)


def test_damage_changes_no_number(face: Face) -> None:
    storm(face, range(10))


@pytest.mark.slow
def test_much_damage_changes_no_number(face: Face) -> None:
    methods = [
        {"type": "bagging", "members": 2, "combine": "weighted"},
        {"type": "probe_then_finetune", "hands_on": "labels"},
        {"type": "clean_labels", "what": "relabel", "by": "knn"},
    ]
    storm(face, range(90, 110), methods)
