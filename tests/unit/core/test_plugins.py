"""Plug points: what is contributed, what it is called, and the one line that describes it."""

from __future__ import annotations

import copy
import pickle
from importlib.metadata import EntryPoint

import pytest

from w2s_ray.core import plugins
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.kinds import KINDS, PAIR, texts_to_read
from w2s_ray.core.plugins import GROUPS, available, contributed, summary
from w2s_ray.data import sources
from w2s_ray.ops import models


@pytest.mark.parametrize("group", GROUPS)
def test_every_plug_in_is_described_by_whole_sentences(group: str) -> None:
    for name, plugin in available(group).items():
        assert summary(plugin).endswith((".", ")")), f"{name}: {summary(plugin)}"
        assert "\n" not in summary(plugin)
        assert len(summary(plugin).split()) >= 4, f"{name}: {summary(plugin)} tells nobody what it is"
        assert "doi" not in summary(plugin), f"{name}: where it comes from is told below"


def entries(monkeypatch: pytest.MonkeyPatch, *named: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, "g") for name, value in named]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)


def test_what_a_package_contributes_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, ("mine", "w2s_ray.data.files:SCHEME"))
    assert set(contributed("g", ["file"])) == {"mine"}


@pytest.mark.parametrize(
    ("named", "whose"),
    [
        ([("hub", "json:dumps")], "is built in"),
        ([("mine", "json:dumps"), ("mine", "json:loads")], "by two packages"),
    ],
)
def test_a_name_that_is_taken_is_refused(
    named: list[tuple[str, str]], whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries(monkeypatch, *named)
    with pytest.raises(ConfigError, match=whose):
        contributed("g", ["hub"])


@pytest.mark.parametrize("name", ["world", "hub", "package", "untrained", "path", "labels"])
def test_no_scheme_of_models_hijacks_a_prefix_that_is_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, (name, "json:dumps"))
    with pytest.raises(ConfigError, match="is built in"):
        models.schemes.__wrapped__()


@pytest.mark.parametrize("name", ["world", "hub", "file"])
def test_no_source_of_rows_is_dropped_in_silence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, (name, "json:dumps"))
    with pytest.raises(ConfigError, match="is built in"):
        sources.schemes.__wrapped__()


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_kind_that_is_copied_or_travels_is_the_same_object(kind: object) -> None:
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert copy.deepcopy(kind) is kind


def test_a_kind_that_travelled_reads_its_rows_as_before() -> None:
    rows = {"first": ["a"], "second": ["b"]}
    assert texts_to_read(pickle.loads(pickle.dumps(PAIR)), rows) == texts_to_read(PAIR, rows) == ["a\nb"]  # type: ignore[arg-type]
