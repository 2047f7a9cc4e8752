"""Whom a study tells is no part of it: of no key, of no file that is written, of no message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from w2s_ray.config.load import expand, made, resolved
from w2s_ray.config.place import Place, load_place
from w2s_ray.core.errors import ConfigError
from w2s_ray.study.results import config_digest
from w2s_ray.study.trackers import trackers_of

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
    assert "s3cret" not in str(refused.value)


URL = "https://hook.example/s3cret"
UNKNOWN = "unknown tracker; there are: jsonl, mlflow, notify, tensorboard, wandb"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"track": {"type": "notify", "url": URL}}, "track is a mapping; it must be a list"),
        ({"track": URL}, "track is a text; it must be a list"),
        ({"track": [{"type": "notify", "url": [URL]}]}, "track.0.url is a list; it must be text"),
        ({"track": [URL]}, f"track.0: {UNKNOWN}"),
        ({"track": [{"type": URL}]}, f"track.0: {UNKNOWN}"),
        ({"track": [[URL]]}, "track.0: it is of the type list and not a tracker; write its name"),
        ({"track": [{"type": "notify", f"url:{URL}": None}]}, "track.0 has a key that is not known (is there a space"),
        ({"track": [{"type": "jsonl", "pth": URL}]}, "track.0.pth is not a known key (did you mean 'path'?)"),
        ({"track": [{"type": "wandb", "mode": "onlin"}]}, "(did you mean 'online'?); it must be 'online' or 'offline'"),
        ({"track": ["wandbb"]}, "unknown tracker (did you mean 'wandb'?); there are: jsonl"),
        ({"notify": {"url": URL}}, "notify is a mapping; it must be text"),
        ({"notify": [URL]}, "notify is a list; it must be text"),
        ({"notify": f"{URL}\ud800"}, "notify is a text, with half a character"),
    ],
)
def test_a_wrong_shape_is_told_with_its_remedy_and_without_an_address(
    wrong: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        made({**RAW, **wrong}, tmp_path)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("override", [f"track=[{{type: notify, url: {URL}", "notify.url=x", f"track={URL}"])
def test_a_set_that_is_refused_shows_no_address(override: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"track|notify") as refused:
        made({**RAW, "notify": URL}, tmp_path, [override])
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", [URL, f"[{URL}]", f"{{type: notify, url: {URL}", f"{{type: notify, url: [{URL}]}}"])
def test_a_tracker_of_the_command_line_that_is_refused_shows_no_address(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--track: ") as refused:
        trackers_of(expand(RAW, tmp_path).config, Place(), [text])
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("env", [{"PASSWORD": ["s3cret"]}, {"PASSWORD": 53}, "s3cret"])
def test_a_variable_of_the_wrong_shape_is_not_shown(env: object, tmp_path: Path) -> None:
    path = tmp_path / "place.yaml"
    path.write_text(yaml.safe_dump({"env": env}))
    with pytest.raises(ConfigError, match=r": env[. ].*; it must be") as refused:
        load_place(path)
    assert not any(secret in str(refused.value).partition(": ")[2] for secret in ("s3cret", "53"))


def test_a_place_has_trackers_too(tmp_path: Path) -> None:
    path = tmp_path / "place.yaml"
    path.write_text(yaml.safe_dump({"track": ["tensorboard"], "notify": "$HOOK"}))
    place = load_place(path)
    assert [one.name for one in place.track] == ["tensorboard"]  # type: ignore[attr-defined]
    assert place.notify is not None
    assert place.notify.get_secret_value() == "$HOOK"
