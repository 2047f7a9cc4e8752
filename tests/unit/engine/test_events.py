"""Who listens to a run, and how far a step is: what is told, how often, and that no trouble of telling is a step's."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from uuid import uuid4

import pytest
from clock import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.engine import progress as progress_module
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, Sinks, StepEvent, parse_progress
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.progress import Progress, every_s, progress_name
from w2s_ray.engine.store import Store, open_store

KEY = Key("train", "m", "ab" * 32)
EVENTS: list[Event] = [
    StepEvent("queued", KEY, "waits"),
    ProgressEvent(KEY, {"step": 1.0}),
    CellEvent({"method": "naive"}, "done"),
]


@pytest.mark.parametrize("error", [RuntimeError("gone"), SystemExit(1), BrokenPipeError()])
def test_a_sink_that_raises_is_not_called_again_and_is_named_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Event] = []
    heard: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise error

    sinks = Sinks([broken, heard.append])
    with caplog.at_level(logging.WARNING):
        for event in EVENTS:
            sinks.tell(event)
    assert calls == EVENTS[:1] and heard == EVENTS
    (record,) = caplog.records
    assert type(error).__name__ in record.getMessage() and "broken" in record.getMessage()


FACTS = st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers(-(2**53), 2**53))


@given(FACTS)
@settings(max_examples=50, deadline=None)
def test_what_a_worker_wrote_is_what_a_driver_reads(facts: dict[str, float]) -> None:
    assert parse_progress(json.dumps(facts).encode()) == facts


@given(FACTS, st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.integers()), max_size=3))
def test_what_is_no_number_is_left_out_of_progress_and_the_rest_is_told(
    facts: dict[str, float], noise: dict[str, object]
) -> None:
    found = parse_progress(json.dumps(noise | facts).encode())
    assert found == facts


def test_a_number_that_is_too_large_for_any_is_none() -> None:
    assert parse_progress(b'{"step": 1' + b"0" * 400 + b', "loss": 0.5}') == {"loss": 0.5}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store") if request.param == "disk" else f"memory://{uuid4().hex}")


def test_a_step_tells_how_far_it_is_now_and_then_and_a_short_one_nothing(store: Store, clock: Clock) -> None:
    tell = Progress(store, KEY)
    read: list[float] = []
    for step in range(1, 101):
        clock.now += every_s(store) / 40
        tell({"step": step, "loss": 1 / step})
        data = store.read(progress_name(KEY))
        assert (data is None) == (step < 40), "nothing before its time"
        if data is not None:
            read.append(parse_progress(data)["step"])
    assert sorted(set(read)) == pytest.approx([40, 80], abs=1)
    assert read == sorted(read)


def test_a_store_that_is_away_is_no_reason_for_a_step_to_fail(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    tell = Progress(open_store(str(tmp_path / "store")), KEY)
    clock.now += 60
    tell({"step": 1})
