"""steps.lock agrees with the code, and would notice if it did not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from w2s_ray.engine import lock


def test_every_step_is_locked_as_it_is() -> None:
    faults = lock.drift(json.loads(lock.LOCK.read_text()), lock.current())
    assert not faults, (
        "raise the version of a step whose results mean something else, then: python -m w2s_ray.engine.lock --write"
    )


def test_a_change_is_noticed_in_whatever_a_step_reaches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = lock.current()
    real = lock._path
    for room, module, moved in (
        ("backends", "w2s_ray.backends.batch.order", {"train"}),
        ("eval", "w2s_ray.eval.gap", {"score", "collect"}),
        ("data", "w2s_ray.data.splits", {"prepare"}),
    ):
        changed = tmp_path / f"{room}.py"
        changed.write_text(real(module).read_text() + "\nCHANGED = 1\n")
        monkeypatch.setattr(
            lock, "_path", lambda name, module=module, changed=changed: changed if name == module else real(name)
        )
        lock._normal_source.cache_clear()
        now = lock.current()
        assert moved <= {name for name in now if now[name] != before[name]}
        assert all("its code changed" in fault for fault in lock.drift(before, now))
    lock._normal_source.cache_clear()


def test_words_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real, module = lock._path, "w2s_ray.backends.batch.order"
    before = lock.source_hash(module)
    changed = tmp_path / "x.py"
    changed.write_text("\n# a comment\n" + real(module).read_text().replace('"""', '"""Other words. ', 1))
    monkeypatch.setattr(lock, "_path", lambda name: changed if name == module else real(name))
    lock._normal_source.cache_clear()
    assert lock.source_hash(module) == before
    lock._normal_source.cache_clear()
