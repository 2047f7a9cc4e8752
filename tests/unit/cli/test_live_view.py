"""What the live view says of many steps at once, of those that wait and of those that go wrong."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from w2s_ray.cli import live
from w2s_ray.cli.live import SHOWN, View
from w2s_ray.engine.events import CellEvent, ProgressEvent, StepEvent, What
from w2s_ray.engine.fingerprint import Key

NAMES = {"method": "naive", "task": "world:topic", "weak": "world/nano", "strong": "world/small", "seed": 3}


class Clock:
    """Time that is set."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live.time, "monotonic", clock.monotonic)
    return clock


def key(number: int, step: str = "train") -> Key:
    return Key(step, f"m-{number}", f"{number:064x}")


def view(terminal: bool, cells: int = 2) -> tuple[View, io.StringIO]:
    out = io.StringIO()
    return View(Console(file=out, force_terminal=terminal, width=110, color_system=None), cells), out


def shown(seen: View) -> list[str]:
    """The lines of one frame below the bar."""
    console = Console(file=io.StringIO(), width=110, color_system=None)
    with console.capture() as capture:
        console.print(seen._render())
    return [line.strip() for line in capture.get().splitlines()[1:]]


def said(out: io.StringIO) -> list[str]:
    """The lines that were said, without their time."""
    return [line.split(" s  ", 1)[1] for line in out.getvalue().splitlines()]


def test_the_longest_running_steps_are_shown_and_the_rest_counted(clock: Clock) -> None:
    seen, _ = view(terminal=True)
    for number in range(SHOWN + 3):
        seen(StepEvent("running", key(number)))
        clock.now += 1
    lines = shown(seen)
    assert [line.split()[:2] for line in lines[:SHOWN]] == [["running", str(key(n))] for n in range(SHOWN)]
    assert lines[0].endswith(f"{SHOWN + 3} s") and lines[SHOWN] == "… and 3 more"
    seen(StepEvent("done", key(0)))
    assert shown(seen)[0].startswith(f"running {key(1)}") and "… and 2 more" in shown(seen)


def test_what_most_steps_wait_for_is_named(clock: Clock) -> None:
    seen, _ = view(terminal=True)
    for number in range(5):
        seen(StepEvent("queued", key(number), "waits for a free device" if number < 3 else "waits for rows"))
    assert shown(seen)[0] == "waiting 5: waits for a free device"
    for number in range(3):
        seen(StepEvent("running", key(number)))
    assert "waiting 2: waits for rows" in shown(seen)
    seen(StepEvent("queued", key(3), "waits for a free device"))
    seen(StepEvent("skipped", key(4)))
    assert "waiting 1: waits for a free device" in shown(seen)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("what", ["failed", "damaged", "leased"])
def test_what_a_user_should_know_is_a_line_of_its_own_on_a_terminal_too(
    clock: Clock, terminal: bool, what: What
) -> None:
    seen, out = view(terminal)
    clock.now += 12.34
    seen(StepEvent(what, key(1), "[red]a reason[/] with [brackets]"))
    assert out.getvalue() == f"   12.3 s  {what} {key(1)}: [red]a reason[/] with [brackets]\n"


def test_a_study_that_is_all_there_says_nothing(clock: Clock) -> None:
    """A re-run of a thousand cells is one table, not a thousand lines."""
    seen, out = view(terminal=False, cells=50)
    for seed in range(50):
        seen(StepEvent("hit", key(seed)))
        seen(CellEvent(NAMES | {"seed": seed}, "running"))
        seen(CellEvent(NAMES | {"seed": seed}, "done"))
    assert out.getvalue() == ""


def test_many_threads_at_once_lose_no_event() -> None:
    seen, out = view(terminal=False, cells=400)

    def tell(thread: int) -> None:
        for number in range(thread * 100, thread * 100 + 100):
            seen(StepEvent("queued", key(number), "waits"))
            seen(StepEvent("running", key(number)))
            seen(ProgressEvent(key(number), {"step": 1, "steps": 2}))
            seen(StepEvent("done", key(number)))
            seen(CellEvent(NAMES, "done"))

    threads = [threading.Thread(target=tell, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown(seen)[-1] == "steps made 400, reused 0, failed 0"
    lines = said(out)
    assert len([line for line in lines if line.startswith("running ")]) == 400
    assert sorted(int(line.rpartition("(")[2].partition("/")[0]) for line in lines if "cell" in line)[-1] == 400
