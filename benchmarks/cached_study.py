"""For engine.py: run a study of many cells whose fits are made up, in one process; prints its seconds and counts as
JSON.

The real runner, methods, keys, store and scorer; only the `train` step's function is replaced, by one that writes
random predictions.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.seeds import stream
from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON


def made_up(work: Work) -> JSON:
    """Predictions that are right three times in four, without a model."""
    for rider in work.call.riders:
        data = Dataset.load(work.rider_input(rider, "data").path)
        rng = stream(0, rider.key.digest)
        p = rng.random(len(data))
        work.put_rider(rider, LabelSet.of(data.ids, np.stack([p, 1 - p], axis=1)).save)
    return {"kept": "predictions", "supervision": [], "facts": {}}


def peak_mb() -> float:
    """Of this program alone: what `getrusage` says of a new process may be its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    folder, cells = sys.argv[1], int(sys.argv[2])
    from w2s_ray.ops import train, verbs

    fake = train.TRAIN.__class__(train.TRAIN.name, train.TRAIN.version, "cached_study:made_up", train.TRAIN.slug)
    verbs.TRAIN = fake  # type: ignore[misc]
    started = time.perf_counter()
    from w2s_ray.config.load import expand
    from w2s_ray.engine.context import Context
    from w2s_ray.engine.executor import InlineExecutor
    from w2s_ray.engine.store import open_store
    from w2s_ray.study.results import build_results, write_looks, write_results
    from w2s_ray.study.run import collect, run_cells

    raw = {
        "name": "big", "task": {"data": "world:topic", "labelled": 50, "pool": 50, "test": 100},
        "models": {"weak": "world/nano", "strong": "world/small"},
        "methods": ["naive"], "seeds": list(range(10)),
        "grid": {"train.strong.lr": [1e-4 * (n + 1) for n in range(cells // 10)]}, "gap_se": 0.0,
    }  # fmt: skip
    study = expand(raw, Path(folder))
    with Context(open_store(f"{folder}/store"), InlineExecutor) as context:
        runs = run_cells(study, context)
        collected = collect(study, context, runs)
        assert collected is not None
        results = build_results(study, context, runs, collected.value, 0.0, Path(folder) / "runs")
        write_results(Path(folder) / "runs", study, results, collected)
        write_looks(Path(folder) / "runs", results, context.store)
    print(json.dumps({
        "seconds": time.perf_counter() - started, "executed": len(context.executed),
        "keys": len(context.executed) + len(context.reused),
        "memory_mb": peak_mb(), "ray": "ray" in sys.modules,
        "torch": "torch" in sys.modules,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
