"""What the engine costs: a cached study of 1,000 cells, and a trivial step inline and on Ray.

    python benchmarks/engine.py            # prints the table of benchmarks/engine.md

Everything runs in fresh processes on a fresh store in a temporary folder; nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import open_store

HERE = Path(__file__).parent


def nothing(work: Work) -> JSON:
    """The smallest step."""
    return {"n": work.params["n"]}


NOTHING = Step("nothing", 1, "engine:nothing", lambda params, inputs: str(params["n"]))


def steps_per_second(count: int, executor: Callable[[str], Executor], *, chain: bool) -> tuple[float, float]:
    """Seconds to the first result, and seconds a step for the rest."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with Context(open_store(folder), lambda: executor(folder)) as context:
            first = context.submit(NOTHING, {"n": -1})
            first.record()
            begun = time.perf_counter()
            handle, handles = first, []
            for n in range(count):
                handle = context.submit(NOTHING, {"n": n}, {"x": handle} if chain else {})
                handles.append(handle)
            for handle in handles:
                handle.record()
            ended = time.perf_counter()
    return begun - started, (ended - begun) / count


def ray_executor(url: str) -> Any:
    from w2s_ray.runtime.executor import RayExecutor

    return RayExecutor(url)


def cached_study(cells: int) -> dict[str, float]:
    """Fill a store with records of a whole study (no fit is run: results are made up), then time `w2s run` on it in a
    fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(4):
            out = subprocess.run(
                [sys.executable, str(HERE / "cached_study.py"), folder, str(cells)],
                check=True,
                capture_output=True,
                text=True,
                cwd=HERE,
            )
            seconds.append(json.loads(out.stdout.splitlines()[-1]))
    assert seconds[0]["executed"] > 0
    assert all(run["executed"] == 0 and not run["ray"] and not run["torch"] for run in seconds[1:])
    best = min(seconds[1:], key=lambda run: run["seconds"])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000)
    args = parser.parse_args()
    os.environ |= {"PYTHONPATH": str(HERE), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    rows: list[tuple[str, str]] = []
    inline = [steps_per_second(args.steps, lambda url: InlineExecutor(), chain=False)[1] for _ in range(3)]
    rows.append((f"inline step (median of 3 x {args.steps})", f"{1000 * median(inline):.2f} ms"))
    start, each = steps_per_second(args.steps, ray_executor, chain=False)
    rows.append(("Ray: start to the first result", f"{start:.1f} s"))
    rows.append((f"Ray: a trivial step, {args.steps} independent", f"{1000 * each:.2f} ms"))
    _, hop = steps_per_second(200, ray_executor, chain=True)
    rows.append(("Ray: a hop in a chain of 200", f"{1000 * hop:.2f} ms"))
    study = cached_study(args.cells)
    rows.append(
        (
            f"re-run of {args.cells} cells, {study['keys']:.0f} keys, all cached",
            f"{study['seconds']:.2f} s, {study['memory_mb']:.0f} MB, Ray and torch not imported",
        )
    )
    print(
        textwrap.dedent(f"""\
        {os.cpu_count()} CPU cores, Python {platform.python_version()}

        | what | measured |
        |---|---|""")
    )
    for what, measured in rows:
        print(f"| {what} | {measured} |")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
