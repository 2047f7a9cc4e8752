"""Whom a study tells is no part of it: of no key, of no file that is written, of no message."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from w2s_ray.config.load import expand, resolved
from w2s_ray.config.place import load_place
from w2s_ray.core.errors import ConfigError
from w2s_ray.study.results import config_digest

RAW = {
    "name": "x", "task": {"data": "world:topic"}, "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive"],
}  # fmt: skip
TOLD = {
    "track": ["jsonl", {"type": "wandb", "mode": "offline"}],
    "notify": "https://hook.example/s3cret",
    "grid": {"task.seed": [0, 1]},
}


def test_it_counts_for_nothing_and_is_written_nowhere(tmp_path: Path) -> None:
    plain, told = expand({**RAW, "grid": TOLD["grid"]}, tmp_path), expand({**RAW, **TOLD}, tmp_path)
    assert [one.name for one in told.config.track] == ["jsonl", "wandb"]  # type: ignore[attr-defined]
    assert config_digest(told) == config_digest(plain)
    assert resolved(told.config) == resolved(plain.config)
    assert told.raw == plain.raw
    assert told.cells == plain.cells
    assert "s3cret" not in repr(told)


@pytest.mark.parametrize("wrong", ["hook.example/s3cret", "ftp://s3cret", "$s3cret/x", ["s3cret"], {"s3cret": 1}])
def test_no_refusal_repeats_an_address(wrong: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        expand({**RAW, "notify": wrong}, tmp_path)
    assert "notify" in str(refused.value)
    if isinstance(wrong, str):
        assert "s3cret" not in str(refused.value)


def test_a_place_has_trackers_too(tmp_path: Path) -> None:
    path = tmp_path / "place.yaml"
    path.write_text(yaml.safe_dump({"track": ["tensorboard"], "notify": "$HOOK"}))
    place = load_place(path)
    assert [one.name for one in place.track] == ["tensorboard"]  # type: ignore[attr-defined]
    assert place.notify is not None
    assert place.notify.get_secret_value() == "$HOOK"
