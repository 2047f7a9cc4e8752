"""What happens in the built-in world: the studies of experiments/world/ and a judge, as tables and plots.

    python benchmarks/world.py            # about half an hour on two cores; what the store has is not computed again
    python benchmarks/world.py sizes      # one of: tasks, topic5, sizes, overlap, untrained, ensembles, judge, cell

Writes benchmarks/world/*.csv, one line a cell, and docs/images/world-*.svg; prints the tables of benchmarks/world.md.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.config.load import load_study

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parent / "experiments" / "world"
IMAGES = HERE.parent / "docs" / "images"
STORE, RUNS = HERE.parent / "store", HERE.parent / "runs"
KINDS = ("easy", "hard", "overlap")
MEMBERS = (1, 2, 4, 8)

Results = dict[str, Any]


def run_study(name: str, overrides: Sequence[str] = ()) -> Results:
    """As a user would."""
    command = [
        str(Path(sys.executable).parent / "w2s"),
        "run",
        str(EXPERIMENTS / f"{name}.yaml"),
        "--store",
        str(STORE),
        "--runs",
        str(RUNS),
    ]
    command += [part for override in overrides for part in ("--set", override)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    study = load_study(EXPERIMENTS / f"{name}.yaml", overrides)
    results: Results = json.loads((RUNS / study.config.name / "results.json").read_text())
    return results


def table(results: Results, by: Callable[[dict[str, Any]], str]) -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Markdown rows, one a group of cells, and the groups."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in results["cells"]:
        groups[by(cell)].append(cell)
    intervals = {by(row): row["pgr"] for row in results["summary"]}
    lines = [
        (
            "| | seeds | weak | student | ceiling | smallest gap | PGR median [95 %] | min, max | hard-only weak ->"
            " student | better on |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, cells in groups.items():
        weak, student, ceiling = (np.array([cell[arm] for cell in cells]) for arm in ("floor", "student", "ceiling"))
        pgr = (student - weak) / (ceiling - weak)
        hard = np.array([[cell["slices"]["hard"][arm] for arm in ("floor", "student")] for cell in cells])
        told = intervals[name]
        bounds = (
            f"{told['median']:.2f} [{told['low']:.2f}, {told['high']:.2f}]" if told["median"] is not None else "no gap"
        )
        lines.append(
            f"| {name} | {len(cells)} | {weak.mean():.3f} ({weak.min():.3f} to {weak.max():.3f}) | {student.mean():.3f}"
            f" | {ceiling.mean():.3f} (min {ceiling.min():.3f}) | {(ceiling - weak).min():.3f} | {bounds} |"
            f" {pgr.min():.2f}, {pgr.max():.2f} | {hard[:, 0].mean():.3f} -> {hard[:, 1].mean():.3f} |"
            f" {(hard[:, 1] > hard[:, 0]).sum()} of {len(cells)} |"
        )
    return lines, groups


def write_csv(name: str, groups: dict[str, list[dict[str, Any]]]) -> None:
    folder = HERE / "world"
    folder.mkdir(exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "group",
                "seed",
                "floor",
                "student",
                "ceiling",
                *(f"{kind}_{arm}" for kind in KINDS for arm in ("floor", "student", "ceiling")),
                "weak_labels",
            ]
        )
        for group, cells in groups.items():
            for cell in cells:
                slices = [
                    round(cell["slices"][kind][arm], 4) for kind in KINDS for arm in ("floor", "student", "ceiling")
                ]
                out.writerow(
                    [
                        group,
                        cell["seed"],
                        *(round(cell[arm], 4) for arm in ("floor", "student", "ceiling")),
                        *slices,
                        round(cell["labels"]["accuracy"], 4),
                    ]
                )


def plot(
    name: str,
    title: str,
    x_label: str,
    lines: dict[str, tuple[Sequence[Any], Sequence[Sequence[float]]]],
    y_label: str = "gap recovered",
) -> None:
    """Median over seeds, with every seed as a dot."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "w2s"  # equal numbers make equal files
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    for label, (xs, seeds) in lines.items():
        (drawn,) = axes.plot(xs, [float(np.median(values)) for values in seeds], marker="o", label=label)
        for x, values in zip(xs, seeds, strict=True):
            axes.plot([x] * len(values), values, ".", color=drawn.get_color(), alpha=0.3, markersize=4)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend(frameon=False)
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / f"world-{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def pgr(cells: Sequence[dict[str, Any]]) -> list[float]:
    return [(cell["student"] - cell["floor"]) / (cell["ceiling"] - cell["floor"]) for cell in cells]


def data_of(cell: dict[str, Any]) -> str:
    return str(cell["task"]).split(",")[0]


def tasks() -> Iterator[str]:
    lines, groups = table(run_study("tasks"), data_of)
    write_csv("tasks", groups)
    yield from lines


def topic5() -> Iterator[str]:
    lines, groups = table(run_study("topic5"), data_of)
    write_csv("topic5", groups)
    yield from lines


# With 1 / width, as Yang et al. 2022 (arXiv 2203.03466) derive for Adam; fixed before the runs. `world/mini` has the
# study's own rate.
RATES = {"world/micro": "8e-4", "world/small": "2e-4"}


def _size_label(label: str, row: dict[str, Any]) -> str:
    return f"{data_of(row)}, {label}, {row['strong'].split('/')[-1]}"


def sizes() -> Iterator[str]:
    one_rate = run_study("sizes")
    by_width = [
        run_study(
            "sizes",
            [
                f"grid={{task.data: [world:topic, world:negation], models.strong: [{model}]}}",
                f"train.strong.lr={rate}",
                f"name=world-sizes-{rate}",
            ],
        )
        for model, rate in RATES.items()
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for label, parts in (("one lr", [one_rate]), ("lr with 1 / width", [*by_width, one_rate])):
        for part in parts:
            lines, found = table(part, partial(_size_label, label))
            groups = found | groups
            yield from lines if part is not one_rate or label == "one lr" else ()
    write_csv("sizes", groups)
    curves: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for size in ("micro", "mini", "small"):
        for name, cells in groups.items():
            if name.endswith(size):
                curves[name.rsplit(", ", 1)[0]][size] = cells
    title = "A larger student that has read more"
    plot(
        "sizes",
        title,
        "student",
        {name: (list(sizes), [pgr(cells) for cells in sizes.values()]) for name, sizes in curves.items()},
    )
    accuracies = {
        name: (list(sizes), [[cell["student"] for cell in cells] for cells in sizes.values()])
        for name, sizes in curves.items()
    }
    plot("sizes-accuracy", title, "student", accuracies, "student's accuracy")
    for name, sizes in curves.items():
        for smaller, larger in pairwise(sizes):
            difference = np.array(
                [one["student"] - other["student"] for one, other in zip(sizes[larger], sizes[smaller], strict=True)]
            )
            yield f"{name}: {larger} minus {smaller}, the student's accuracy{_paired(difference, 3)}"


def rate_of(row: dict[str, Any]) -> str:
    return str(row["method"]).split("lr=")[1].split(")")[0]


def _paired(difference: np.ndarray, digits: int = 2) -> str:
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return (
        f", paired by seed: {difference.mean():+.{digits}f} (s.e. {error:.{digits}f}, above 0 on"
        f" {(difference > 0).sum()} of {len(difference)})"
    )


def overlap() -> Iterator[str]:
    lines, groups = table(run_study("overlap"), data_of)
    write_csv("overlap", groups)
    shares = [float(name.rsplit("=", 1)[1]) for name in groups]
    recovered = [pgr(cells) for cells in groups.values()]
    plot(
        "overlap",
        "Overlap connects what the teacher knows with what the student knows",
        "share of overlap rows",
        {"world:topic": (shares, recovered)},
    )
    yield from lines
    for share, values in list(zip(shares, recovered, strict=True))[1:]:
        yield f"overlap {share:g} minus {shares[0]:g}{_paired(np.array(values) - np.array(recovered[0]))}"


def untrained() -> Iterator[str]:
    results = run_study("untrained")
    lines, groups = table(results, lambda row: f"untrained, 3 epochs, lr {rate_of(row)}")
    write_csv("untrained", groups)
    yield from lines


def ensembles() -> Iterator[str]:
    lines, groups = table(run_study("ensembles"), lambda row: str(row["method"]))
    write_csv("ensembles", groups)
    sizes = [groups[f"bagging {members}"] for members in MEMBERS]
    students = [[cell["student"] for cell in cells] for cells in sizes]
    labels = [[cell["labels"]["accuracy"] for cell in cells] for cells in sizes]
    plot(
        "ensemble",
        "More weak models",
        "members",
        {"weak labels": (list(MEMBERS), labels), "student": (list(MEMBERS), students)},
        "accuracy",
    )
    yield from lines
    for name, cells in groups.items():
        told = [cell["labels"]["accuracy"] for cell in cells]
        difference = np.array([cell["student"] for cell in cells]) - np.array(
            [cell["student"] for cell in groups["naive"]]
        )
        yield (
            f"{name}: labels {np.mean(told):.3f}, student {np.mean([cell['student'] for cell in cells]):.3f}; student"
            f" minus naive's{_paired(difference, 3)}"
        )


def judge() -> Iterator[str]:
    """The weak model as the judge of two arguments, and of two bare names."""
    for data in ("world:debate", "world:debate?arguments=false"):
        results = run_study(
            "tasks",
            ["grid={}", f"task.data={data}", "name=world-judge", "seeds=[0,1,2,3,4]", "models.strong=world/nano"],
        )
        floors = [cell["floor"] for cell in results["cells"]]
        yield (
            f"{data}: the weak judge is right on {np.mean(floors):.3f} ({min(floors):.3f} to {max(floors):.3f},"
            f" {len(floors)} seeds)"
        )


def cell() -> Iterator[str]:
    """One naive cell with an empty store, Ray's start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).parent / "w2s"),
            "run",
            str(EXPERIMENTS / "tasks.yaml"),
            "--store",
            f"{folder}/store",
            "--runs",
            f"{folder}/runs",
        ]
        started = time.perf_counter()
        subprocess.run([*command, "--set", "grid={}", "--set", "seeds=[0]"], check=True, stdout=subprocess.DEVNULL)
        yield f"one naive cell: {time.perf_counter() - started:.1f} s"


PARTS = {part.__name__: part for part in (cell, tasks, topic5, sizes, overlap, untrained, ensembles, judge)}


def main() -> None:
    for name in sys.argv[1:] or PARTS:
        print(f"\n## {name}\n", flush=True)
        for line in PARTS[name]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
