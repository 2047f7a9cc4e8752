"""One flipped bit anywhere in a checkpoint is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from w2s_ray.backends.fit.sealed import broken, open_json, save_sealed, seal_json

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(3),
    "c": torch.ones(3, dtype=torch.bfloat16),
    "d": torch.zeros(0),
}
NOTES = {"digest": "x", "notes": '{"step": 3}'}


def whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return not broken(file)
    except SafetensorError:
        return False


def test_what_was_sealed_is_whole(tmp_path: Path) -> None:
    save_sealed(TENSORS, str(tmp_path / "x"), NOTES)
    assert whole(tmp_path / "x")
    with safe_open(tmp_path / "x", framework="pt") as file:
        assert {name: file.metadata()[name] for name in NOTES} == NOTES


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_changes_nothing_or_is_seen(tmp_path: Path, at: float, bit: int) -> None:
    path = tmp_path / "x"
    if not (tmp_path / "sound").exists():
        save_sealed(TENSORS, str(tmp_path / "sound"), NOTES)
    data = bytearray((tmp_path / "sound").read_bytes())
    data[int(at * len(data))] ^= 1 << bit
    path.write_bytes(data)
    if whole(path):  # a blank of the header, say
        with safe_open(path, framework="pt") as file:
            assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in TENSORS.items())
            assert {name: file.metadata()[name] for name in NOTES} == NOTES


@pytest.mark.parametrize("text", ["", "[]", "3", '{"seal": "x", "value": 1}', "[" * 5000, "9" * 5000])
def test_notes_that_are_not_sealed_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    assert open_json(tmp_path / "x") is None
    (tmp_path / "x").write_text(seal_json({"a": [1, 2.5]}))
    assert open_json(tmp_path / "x") == {"a": [1, 2.5]}
