"""Events that travel as lines of a job's log."""

from __future__ import annotations

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from w2s_ray.core.errors import BudgetSpent, ConfigError, Interrupted, StoreError
from w2s_ray.engine.events import CellEvent, Event, ProgressEvent, StepEvent, WaitEvent
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports.ending import End
from w2s_ray.reports.event_lines import MARK, Recent, Writer, drawn, line_of, objects, parse, view_of
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


@given(EVENTS)
def test_a_heartbeat_tells_of_what_is_worth_a_line_and_when(event: Event) -> None:
    recent = Recent()
    recent(event)
    until, told = Recent.told(json.loads(json.dumps(recent.about())))
    if isinstance(event, ProgressEvent) or getattr(event, "what", "") == "hit":
        assert (until, told) == (0, [])
        return
    ((at, found),) = told
    assert until == 1 and abs(at - time.time()) < 60
    assert type(found) is type(event)


@pytest.mark.parametrize("at", ["NaN", "1e999", '"x"', "null", "[]"])
def test_a_time_that_is_none_is_no_time(at: str) -> None:
    line = line_of(WaitEvent("x"), 1.0).replace('"at": 1.0', f'"at": {at}')
    assert Recent.told({"events": (1, [line])}) == (1, [(0.0, WaitEvent("x"))])


def test_the_lines_are_json_that_any_program_reads() -> None:
    lines: list[str] = []
    writer = Writer(lines.append)
    writer(ProgressEvent(KEY, {"step": 3, "loss": float("nan")}))
    writer.trial(0, "complete", {"seconds": float("inf")}, {"train.strong.lr": 1e-3})
    writer.end(End(name="x", status="done", exit_code=0))

    def refuse(text: str) -> None:
        raise AssertionError(text)

    found = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [one["kind"] for one in found] == ["progress", "trial", "end"]
    assert [one["w2s"] for one in found] == [1, 1, 1]
    assert found[0]["progress"] == {"step": 3} and found[1]["values"] == {"seconds": None}


def test_who_follows_a_job_sees_events_drawn_words_printed_and_the_rest_left_out() -> None:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    shown: list[Event] = []
    line = drawn(shown.append, console)  # type: ignore[arg-type]
    writer = Writer(lambda text: line(text.rstrip()))
    writer(WaitEvent("x"))
    writer.end(End(name="x", status="done", exit_code=0))
    line("a word")
    assert shown == [WaitEvent("x")]
    assert console.file.getvalue() == "a word\n"  # type: ignore[attr-defined]


def test_a_run_draws_unless_objects_are_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with objects(False) as none:
        assert isinstance(view_of(Console(), 3, none), View)
    with objects(True) as writer:
        assert view_of(Console(), 3, writer) is writer
        assert writer is not None
        print("a library's word")
        writer(StepEvent("done", KEY))
    out, err = capfd.readouterr()
    assert parse(out.strip()) == StepEvent("done", KEY)
    assert "a library's word" in err


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ConfigError("x is 3"), 2, "refused"),
        (StoreError("away"), 1, "failed"),
        (BudgetSpent("spent"), 3, "budget"),
        (Interrupted("stop"), 130, "stopped"),
        (RuntimeError("a\nb"), 1, "failed"),
    ],
)
def test_what_ends_before_its_time_says_so_in_the_last_object(
    error: Exception, code: int, status: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)), objects(True) as writer:
        assert writer is not None
        writer.name = "small"
        raise error
    found = json.loads(capfd.readouterr().out)
    assert (found["kind"], found["name"], found["exit_code"], found["status"]) == ("end", "small", code, status)
    assert found["error"] == " ".join(str(error).split())
