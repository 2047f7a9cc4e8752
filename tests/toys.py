"""Toy steps for tests of the engine: each counts its starts in a file, so that a test sees how often it really ran, in
whichever process."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON, Step


def _note(work: Work, what: str) -> None:
    folder = Path(os.environ["W2S_TEST_NOTES"])
    (folder / f"{what}.{work.call.key.digest[:12]}.{work.attempt}").write_text(str(os.getpid()))


def add(work: Work) -> JSON:
    """value = number + the sum of the inputs; a `slow` one takes a while, a `bad` one raises, a `full` one finds no
    room on its disk."""
    _note(work, "start")
    time.sleep(work.params.get("slow", 0))
    if work.params.get("bad"):
        print("about to fail")
        raise RuntimeError(f"number {work.params['number']} is bad")
    if work.params.get("full"):
        raise OSError(errno.ENOSPC, "No space left on device", str(work.out))
    if work.params.get("kill") and work.place.fetch("killed") is None:
        (work.place.scratch / "t").write_text("")
        work.place.keep("killed", work.place.scratch / "t")
        os._exit(9)
    total = work.params["number"]
    for artifact in work.inputs.values():
        for one in artifact if isinstance(artifact, tuple) else (artifact,):
            total += int((one.path / "number.txt").read_text())
    (work.out / "number.txt").write_text(str(total))
    for rider in work.call.riders:

        def save(folder: Path, number: int = total * rider.params["times"]) -> None:
            (folder / "number.txt").write_text(str(number))

        work.put_rider(rider, save)
    return {"total": total}


def long(work: Work) -> JSON:
    """Tells how far it is, for longer than it takes to be heard."""
    for step in range(1, 41):
        work.tell({"step": step, "steps": 40, "loss": 1 / step})
        time.sleep(0.1)
    return {}


def add_many(works: Sequence[Work]) -> list[JSON | Exception]:
    """Several at once: the first notes how many they were; one that is `worse` takes all with it."""
    (Path(os.environ["W2S_TEST_NOTES"]) / f"together.{len(works)}.{works[0].attempt}").write_text("")
    if any(work.params.get("worse") for work in works):
        raise RuntimeError("all is lost")
    made: list[JSON | Exception] = []
    for work in works:
        try:
            made.append(add(work))
        except RuntimeError as error:
            made.append(error)
    return made


ADD = Step("add", 1, "toys:add", lambda params, inputs: f"n{params['number']}")
LONG = Step("long", 1, "toys:long", lambda params, inputs: "x")
ADD_INLINE = Step("add-inline", 1, "toys:add", lambda params, inputs: f"n{params['number']}", inline=True)
TIMES = Step("times", 1, "", lambda params, inputs: f"x{params['times']}")
