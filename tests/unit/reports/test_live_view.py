"""The live view: what a user who watches sees of steps, of fits under way, of cells, of what waits or goes wrong."""

from __future__ import annotations

import io
import threading

import pytest
from clock import Clock
from rich.console import Console

from w2s_ray.engine.events import CellEvent, ProgressEvent, StepEvent, WaitEvent, What
from w2s_ray.engine.fingerprint import Key
from w2s_ray.reports import live
from w2s_ray.reports.live import SHOWN, View

KEY = Key("train", "world-nano-full-s0", "0" * 64)
NAMES = {"method": "naive", "task": "world:topic", "weak": "world/nano", "strong": "world/small", "seed": 3}


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


def frame(seen: View) -> str:
    """One frame of the screen."""
    console = Console(file=io.StringIO(), width=110, color_system=None)
    with console.capture() as capture:
        console.print(seen._render())
    return capture.get()


def shown(seen: View) -> list[str]:
    """The lines of a frame below the bar."""
    return [line.strip() for line in frame(seen).splitlines()[1:]]


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


def test_a_fit_under_way_shows_its_step_loss_and_time_left(clock: Clock) -> None:
    seen, _ = view(terminal=True)
    seen(StepEvent("running", KEY))
    clock.now += 40
    assert f"running {KEY}  40 s\n" in "".join(line.rstrip() + "\n" for line in frame(seen).splitlines())
    seen(ProgressEvent(KEY, {"step": 100, "steps": 300, "epoch": 0, "loss": 0.41234, "lr": 1e-4}))
    assert f"running {KEY}  40 s, step 100 of 300, loss 0.412, about 80 s left" in frame(seen)
    clock.now += 40
    seen(ProgressEvent(KEY, {"step": 300, "steps": 300, "loss": 0.3}))
    assert "step 300 of 300, loss 0.3" in frame(seen)
    assert "left" not in frame(seen)
    seen(StepEvent("done", KEY))
    assert str(KEY) not in frame(seen)


@pytest.mark.parametrize(
    "told", [{}, {"step": 0, "steps": 0}, {"step": 5, "steps": 3}, {"loss": float("inf")}, {"x": 1}]
)
def test_progress_that_makes_no_sense_breaks_nothing(clock: Clock, told: dict[str, float]) -> None:
    seen, _ = view(terminal=True)
    seen(ProgressEvent(KEY, told))
    assert str(KEY) not in frame(seen), "of a step that does not run here"
    seen(StepEvent("running", KEY))
    seen(ProgressEvent(KEY, told))
    assert str(KEY) in frame(seen)


def test_without_a_terminal_a_line_now_and_then(clock: Clock) -> None:
    seen, out = view(terminal=False)
    seen(StepEvent("running", KEY))
    for _ in range(130):
        clock.now += 1
        seen(ProgressEvent(KEY, {"step": clock.now - 100, "steps": 200, "loss": 0.5}))
    seen(StepEvent("done", KEY))
    seen(CellEvent(NAMES, "running"))
    seen(CellEvent(NAMES, "done"))
    lines = [line.split("s  ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines == [
        f"running {KEY}",
        f"running {KEY}: 60 s, step 60 of 200, loss 0.5, about 2 min left",
        f"running {KEY}: 120 s, step 120 of 200, loss 0.5, about 80 s left",
        f"done {KEY} (130.0 s)",
        "cell done: naive, world:topic, world/nano -> world/small, seed 3 (1/2)",
    ]


def test_cells_move_the_bar_and_the_estimate(clock: Clock) -> None:
    seen, _ = view(terminal=True)
    clock.now += 30
    seen(CellEvent(NAMES, "done"))
    assert "1/2" in frame(seen)
    assert "about 30 s left" in frame(seen)


def test_what_waits_for_devices_is_said_with_who_holds_them(clock: Clock) -> None:
    why = "3 steps wait: train/x needs 1 GPU (0 GPU free); held by train/y"
    seen, _ = view(terminal=True)
    seen(StepEvent("queued", KEY, "waits for a free device"))
    seen(WaitEvent(why))
    assert f"waiting 1: {why}" in frame(seen)
    seen(WaitEvent(""))
    assert "waiting 1: waits for a free device" in frame(seen)
    plain, out = view(terminal=False)
    for _ in range(150):
        clock.now += 1
        plain(WaitEvent(why))
    assert said(out) == [why, why], "a line a minute"
