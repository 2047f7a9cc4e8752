"""The live view: what a user who watches sees of steps, of fits under way and of cells."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from w2s_ray.cli import live
from w2s_ray.cli.live import View
from w2s_ray.engine.events import CellEvent, ProgressEvent, StepEvent
from w2s_ray.engine.fingerprint import Key

KEY = Key("train", "world-nano-full-s0", "0" * 64)
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


def view(terminal: bool) -> tuple[View, io.StringIO]:
    out = io.StringIO()
    return View(Console(file=out, force_terminal=terminal, width=110, color_system=None), 2), out


def shown(view: View) -> str:
    """One frame of the screen."""
    console = Console(file=io.StringIO(), width=110, color_system=None)
    with console.capture() as capture:
        console.print(view._render())
    return capture.get()


def test_a_fit_under_way_shows_its_step_loss_and_time_left(clock: Clock) -> None:
    seen, _ = view(terminal=True)
    seen(StepEvent("running", KEY))
    clock.now += 40
    assert f"running {KEY}  40 s\n" in "".join(line.rstrip() + "\n" for line in shown(seen).splitlines())
    seen(ProgressEvent(KEY, {"step": 100, "steps": 300, "epoch": 0, "loss": 0.41234, "lr": 1e-4}))
    assert f"running {KEY}  40 s, step 100 of 300, loss 0.412, about 80 s left" in shown(seen)
    clock.now += 40
    seen(ProgressEvent(KEY, {"step": 300, "steps": 300, "loss": 0.3}))
    assert "step 300 of 300, loss 0.3" in shown(seen)
    assert "left" not in shown(seen)
    seen(StepEvent("done", KEY))
    assert str(KEY) not in shown(seen)


@pytest.mark.parametrize(
    "told", [{}, {"step": 0, "steps": 0}, {"step": 5, "steps": 3}, {"loss": float("inf")}, {"x": 1}]
)
def test_progress_that_makes_no_sense_breaks_nothing(clock: Clock, told: dict[str, float]) -> None:
    seen, _ = view(terminal=True)
    seen(ProgressEvent(KEY, told))
    assert str(KEY) not in shown(seen), "of a step that does not run here"
    seen(StepEvent("running", KEY))
    seen(ProgressEvent(KEY, told))
    assert str(KEY) in shown(seen)


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
    frame: Any = shown(seen)
    assert "1/2" in frame
    assert "about 30 s left" in frame
