"""Whether a search pays: the tuned recipe against the default one, on the test rows, with seeds that the search has not
seen.

OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/search.py            # about half an hour on two cores; what the
store has is not computed again
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parent / "experiments" / "hpo"
STORE, RUNS = HERE.parent / "store", HERE.parent / "runs"
TASKS = ("topic", "negation")


def w2s(command: str, file: Path) -> None:
    subprocess.run(
        [str(Path(sys.executable).parent / "w2s"), command, str(file), "--store", str(STORE), "--runs", str(RUNS)],
        check=True,
    )


def students(name: str) -> dict[int, Any]:
    results = json.loads((RUNS / name / "results.json").read_text())
    return {cell["seed"]: cell for cell in results["cells"]}


def main() -> None:
    print(
        "| task | best | held-out accuracy of the default, of the best | default's students | tuned students |"
        " difference, paired by seed [95 %] | ahead on |"
    )
    print("|---|---|---|---|---|---|---|")
    for task in TASKS:
        file, name = EXPERIMENTS / f"{task}.yaml", f"hpo-{task}"
        w2s("tune", file)
        w2s("run", file)
        w2s("run", RUNS / name / "search" / "best.yaml")
        default, tuned = students(name), students(f"{name}-tuned")
        difference = np.array([tuned[seed]["student"] - default[seed]["student"] for seed in default])
        print(row(task, name, default, tuned, difference))


def row(task: str, name: str, default: dict[int, Any], tuned: dict[int, Any], difference: np.ndarray) -> str:
    import csv

    with open(RUNS / name / "search" / "trials.csv") as file:
        trials = list(csv.DictReader(file))
    best = next(trial for trial in trials if trial["best"] == "True")
    point = ", ".join(f"{key.split('.')[-1]} {value[:7]}" for key, value in best.items() if "." in key and value)
    low, high = bootstrap(difference)
    means = [np.mean([cell["student"] for cell in cells.values()]) for cells in (default, tuned)]
    return (
        f"| {task} | {point} | {float(trials[0]['student accuracy']):.3f}, {float(best['student accuracy']):.3f} |"
        f" {means[0]:.3f} | {means[1]:.3f} | {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}] |"
        f" {int((difference > 0).sum())} of {len(difference)} |"
    )


def bootstrap(difference: np.ndarray) -> tuple[float, float]:
    """Over the seeds."""
    draws = np.random.default_rng(0).choice(difference, size=(10_000, len(difference))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
