"""The comparison with naive of a finished study as one table: a row a method, a column a task, the difference in points
with its interval, and the row over all tasks.

w2s run experiments/compare.yaml && python benchmarks/compare.py runs/compare/results.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(path: Path) -> None:
    results = json.loads(path.read_text(encoding="utf-8"))
    pairs = results["comparisons"]["pairs"]
    settings = list(dict.fromkeys((row["task"], row["weak"], row["strong"]) for row in pairs))
    several = len({setting[1:] for setting in settings}) > 1
    overall = {row["method"]: row for row in results["comparisons"]["overall"]}
    oracles = {cell["method"] for cell in results["cells"] if cell["gold_supervised"]}
    headings = [f"{task}, {weak} → {strong}" if several else task for task, weak, strong in settings]
    print("| method | " + " | ".join(headings) + " | all | better, worse, equal | p | p (Holm) |")
    print("|---" * (len(settings) + 5) + "|")
    base = {
        setting: row
        for row in results["summary"]
        if row["method"] == pairs[0]["baseline"]
        for setting in [(row["task"], row["weak"], row["strong"])]
    }
    shown = [f"{100 * base[setting]['student']['mean']:.1f} %" for setting in settings]
    print(f"| **{pairs[0]['baseline']}** | {' | '.join(shown)} | | | | |")
    for method in dict.fromkeys(row["method"] for row in pairs):
        own = {(row["task"], row["weak"], row["strong"]): row for row in pairs if row["method"] == method}
        whole = overall.get(method)
        cells = [_points(own[setting]["difference"]) if setting in own else "" for setting in settings]
        told = (
            [
                _points(whole["difference"]),
                f"{whole['wins']}, {whole['losses']}, {whole['ties']}",
                _p(whole["p"]),
                _p(whole["p_holm"]),
            ]
            if whole
            else [""] * 4
        )
        print(f"| {method}{' †' * (method in oracles)} | {' | '.join([*cells, *told])} |")


def _points(difference: dict[str, Any]) -> str:
    mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
