"""Events that travel as lines of a job's log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports.event_lines import MARK, VARIABLE, Writer, parse, view_of
from w2s_ray.reports.live import View

KEY = Key("train", "world-nano", "ab" * 32)
NUMBERS = st.dictionaries(st.sampled_from(["step", "loss"]), st.floats(allow_nan=False, allow_infinity=False))
EVENTS = st.one_of(
    st.builds(StepEvent, st.sampled_from(["hit", "running", "failed"]), st.just(KEY), st.text()),
    st.builds(ProgressEvent, st.just(KEY), NUMBERS),
    st.builds(WaitEvent, st.text()),
    st.builds(CellEvent, st.dictionaries(st.text(), st.one_of(st.text(), st.integers())), st.sampled_from(["done"])),
)


@given(EVENTS)
def test_an_event_arrives_as_it_was_sent(event: Event) -> None:
    lines: list[str] = []
    Writer(lines.append)(event)
    (line,) = lines
    assert line.count("\n") == 1
    assert parse(line.rstrip("\n")) == event


@given(st.one_of(st.text(), st.text().map(MARK.__add__), st.just(MARK + '{"kind": "step", "key": 3}')))
def test_any_other_line_is_no_event(line: str) -> None:
    assert parse(line) is None


def test_a_run_draws_unless_somebody_follows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert isinstance(view_of(Console(), 3), View)
    monkeypatch.setenv(VARIABLE, "1")
    with view_of(Console(), 3) as view:
        view(StepEvent("done", KEY))
    assert parse(capsys.readouterr().out.strip()) == StepEvent("done", KEY)
