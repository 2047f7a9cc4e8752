"""The thread of the scheduler: order, timers, errors, the end."""

from __future__ import annotations

import threading

from w2s_ray.engine.scheduler import Scheduler


def test_events_run_in_their_order_on_one_thread_and_those_before_the_end_all_run() -> None:
    seen: list[tuple[int, str]] = []
    events = Scheduler("here", lambda error: None)
    for number in range(100):
        events.post(lambda number=number: seen.append((number, threading.current_thread().name)))
    events.close()
    assert seen == [(number, "here") for number in range(100)]


def test_a_timer_waits_and_does_not_hold_up_what_is_posted() -> None:
    seen: list[str] = []
    rung = threading.Event()
    events = Scheduler("here", lambda error: None)

    def set_timer() -> None:
        events.later(0.05, lambda: (seen.append("timer"), rung.set()))
        events.later(3600, lambda: seen.append("never"))

    events.post(set_timer)
    events.post(lambda: seen.append("posted"))
    assert rung.wait(10)
    events.close()
    assert seen == ["posted", "timer"]


def test_what_an_event_raises_is_told_and_the_next_one_runs() -> None:
    told: list[BaseException] = []
    seen: list[str] = []
    events = Scheduler("here", told.append)
    events.post(lambda: 1 / 0)
    events.post(lambda: seen.append("next"))
    events.close()
    assert isinstance(told[0], ZeroDivisionError)
    assert seen == ["next"]
