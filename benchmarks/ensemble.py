"""What an ensemble costs: members one process each, all in one process, stacked, and on Ray Tune; the overhead of a
trial, and the growth of both.

OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/ensemble.py members     # 16 members of world/nano
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/ensemble.py probes      # 16 linear probes on world/small
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/ensemble.py growth      # 8 to 128 stacked members
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/ensemble.py overhead    # trials that do nothing, 8 to 128
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import NOTHING, ray_executor

from w2s_ray.blocks.resample import resample
from w2s_ray.config.load import expand
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import Executor, InlineExecutor
from w2s_ray.engine.step import Handling
from w2s_ray.engine.store import open_store
from w2s_ray.ops.task import Member
from w2s_ray.ops.verbs import Verbs
from w2s_ray.study.setting import Setting

STUDY: dict[str, Any] = {
    "name": "ensemble",
    "task": {"data": "world:topic", "labelled": 2000, "pool": 2000, "test": 2000},
    "models": {"weak": "world/nano", "strong": "world/nano"},
    "methods": ["naive"],
    "train": {"weak": {"lr": 2e-3, "epochs": 4}},
}


PROBES = {"models": {"weak": "world/small", "strong": "world/small"}, "train": {"weak": {"adapt": "probe"}}}


def train(store: str, places: range, executor: Callable[[], Executor], fuse: bool = False, **changes: Any) -> None:
    """Bagging's members at these places, with their labels of the pool."""
    with Context(open_store(store), executor) as context:
        study = expand({**STUDY, **changes, "resources": {"weak": {"fuse": fuse}}}, Path.cwd())
        task, _ = Setting(context, study.base).task(study.cells[0])
        ctx = Verbs(context, 0, always_on=(task.test,))
        truth = ctx.labels(task.labels)
        members = [
            Member(task.weak, task.labelled, ctx.put(resample(truth, "bootstrap", 0, place))) for place in places
        ]
        for member in ctx.train_many(members, predict_on=[task.pool], first=places.start):
            member.handle.record()


def one_process_each(store: str, count: int) -> None:
    for place in range(count):
        subprocess.run([sys.executable, __file__, "one", "--store", store, "--count", str(place)], check=True)


def compare(count: int) -> None:
    """Wall-clock of each way, on stores of their own."""
    ways: dict[str, Callable[[str], None]] = {
        "one process each, one after another": lambda store: one_process_each(store, count),
        "one process, one after another": lambda store: train(store, range(count), InlineExecutor),
        "one process, stacked": lambda store: train(store, range(count), InlineExecutor, fuse=True),
        "Ray Tune, with Ray's start": lambda store: train(store, range(count), lambda: ray_executor(store)),
        "Ray Tune, stacked, with Ray's start": lambda store: train(
            store, range(count), lambda: ray_executor(store), fuse=True
        ),
    }
    seconds = timed(ways)
    first = next(iter(seconds.values()))
    print(f"{count} members of world/nano, 2,000 rows, 4 epochs\n\n| way | s | times the first |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.1f} | {first / value:.2f} |")


def timed(ways: dict[str, Callable[[str], None]]) -> dict[str, float]:
    """Seconds of each, on a store of its own."""
    seconds = {}
    for name, way in ways.items():
        with tempfile.TemporaryDirectory() as store:
            started = time.perf_counter()
            way(store)
            seconds[name] = time.perf_counter() - started
    return seconds


def probes(count: int) -> None:
    """Solved one by one and at once; the features are made before the clock starts."""
    with tempfile.TemporaryDirectory() as store:
        train(store, range(1), InlineExecutor, **PROBES)
        for fuse, places in ((False, range(1, count + 1)), (True, range(count + 1, 2 * count + 1))):
            started = time.perf_counter()
            train(store, places, InlineExecutor, fuse=fuse, **PROBES)
            print(f"{count} probes {'at once' if fuse else 'one by one'}: {time.perf_counter() - started:.2f} s")


def growth(counts: list[int]) -> None:
    """Stacked members in one process."""
    ways = {
        str(count): lambda store, count=count: train(store, range(count), InlineExecutor, fuse=True) for count in counts
    }
    seconds = list(timed(ways).values())
    print("| members | s | s a member |\n|---|---|---|")
    for count, value in zip(counts, seconds, strict=True):
        print(f"| {count} | {value:.1f} | {value / count:.3f} |")
    print(f"\nlog-log slope {slope(counts, seconds):.2f}")


def overhead(counts: list[int]) -> None:
    """Trials that do nothing, all on one Ray; each number begins an experiment of its own."""
    seconds = []
    with tempfile.TemporaryDirectory() as store, Context(open_store(store), lambda: ray_executor(store)) as context:
        context.submit(NOTHING, {"n": -1}).record()  # Ray is up
        for count in counts:
            started = time.perf_counter()
            for handle in [
                context.submit(NOTHING, {"n": f"{count}-{n}"}, handling=Handling(member=True)) for n in range(count)
            ]:
                handle.record()
            seconds.append(time.perf_counter() - started)
    print("| trials | s | s a trial |\n|---|---|---|")
    for count, value in zip(counts, seconds, strict=True):
        print(f"| {count} | {value:.1f} | {value / count:.3f} |")
    print(f"\nlog-log slope {slope(counts, seconds):.2f}")


def slope(counts: list[int], seconds: list[float]) -> float:
    """Least squares."""
    x, y = [math.log(count) for count in counts], [math.log(value) for value in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["members", "probes", "growth", "overhead", "one"])
    parser.add_argument("--count", type=int, default=16, help="members; for `one` the place of the member")
    parser.add_argument("--store", help="of `one`")
    given = parser.parse_args()
    if given.what == "one":
        train(given.store, range(given.count, given.count + 1), InlineExecutor)
    elif given.what == "members":
        compare(given.count)
    elif given.what == "probes":
        probes(given.count)
    elif given.what == "growth":
        growth([8, 16, 32, 64, 128])
    else:
        overhead([8, 16, 32, 64, 128])


if __name__ == "__main__":
    main()
