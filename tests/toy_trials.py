"""Trials without models, for tests of how a search goes."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def with_holes(trials: Any, point: dict[str, Any], report: Callable[..., None], executor: Any) -> None:
    """Best at x = .3. Not a number for x above .6, an error below .1, and a process that dies once between .3 and
    .4."""
    x = point["train.strong.lr"]
    mark = Path(trials.store, "died")
    if 0.3 < x < 0.4 and not mark.exists():
        mark.write_text(str(x))
        os.kill(os.getpid(), signal.SIGKILL)
    if x < 0.1:
        raise ValueError(f"{x} is too small")
    report(1, [math.nan if x > 0.6 else -((x - 0.3) ** 2)], {"keys": []})


def two_objectives(trials: Any, point: dict[str, Any], report: Callable[..., None], executor: Any) -> None:
    """More of one is less of the other, up to x = .5; beyond it all is worse."""
    x = point["train.strong.lr"]
    report(1, [x if x <= 0.5 else 0.4, x], {"keys": []})


def slow(trials: Any, point: dict[str, Any], report: Callable[..., None], executor: Any) -> None:
    time.sleep(3)
    report(1, [point["train.strong.lr"]], {"keys": []})


def step_by_step(trials: Any, point: dict[str, Any], report: Callable[..., None], executor: Any) -> None:
    """Known from the first step on."""
    for step in range(1, 5):
        report(step, [point["train.strong.lr"]], {"keys": []})
