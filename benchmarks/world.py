"""What happens in the built-in world: the studies of experiments/world/, an ensemble, and a judge, as tables and plots.

    python benchmarks/world.py            # about half an hour on two cores; what the store has is not computed again
    python benchmarks/world.py sizes      # one of: tasks, topic5, sizes, overlap, untrained, ensemble, judge, cell

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
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from w2s_ray.config.load import load_study
from w2s_ray.config.method import MethodParams
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.seeds import stream
from w2s_ray.engine.context import Context
from w2s_ray.engine.store import open_store
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs
from w2s_ray.runtime.executor import RayExecutor
from w2s_ray.study.results import build_results
from w2s_ray.study.run import collect, run_cells

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parent / "experiments" / "world"
IMAGES = HERE.parent / "docs" / "images"
STORE, RUNS = HERE.parent / "store", HERE.parent / "runs"
KINDS = ("easy", "hard", "overlap")
MEMBERS = (1, 2, 4, 8)

Results = dict[str, Any]


class Bagging(MethodParams):
    """The naive method with the mean of several weak models, each trained on a bootstrap of the labelled rows."""

    type: Literal["bagging"] = "bagging"
    members: int

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        teachers = []
        for member in range(self.members):
            seeded = replace(ctx, seed=ctx.seed * 1000 + member)
            labels = ctx.labels(task.labels)
            draws = stream(seeded.seed, "bootstrap").integers(len(labels.ids), size=len(labels.ids))
            counts_N = np.bincount(draws, minlength=len(labels.ids))
            rows = ctx.put(LabelSet.of(labels.ids, labels.probs_NK, weight_N=counts_N, source="a bootstrap of the labelled rows"))
            teachers.append(seeded.train(task.weak, task.labelled, rows, predict_on=[task.pool]))
        said = [ctx.labels(ctx.predict(teacher, task.pool)) for teacher in teachers]
        mean = LabelSet.of(said[0].ids, np.mean([one.align(said[0].ids).probs_NK for one in said], axis=0), source="mean")
        labels = ctx.put(mean)
        return Outcome(student=ctx.train(task.strong, task.pool, labels, predict_on=[task.pool]), labels=labels)


def run_study(name: str, overrides: Sequence[str] = ()) -> Results:
    """As a user would."""
    command = [str(Path(sys.executable).parent / "w2s"), "run", str(EXPERIMENTS / f"{name}.yaml"), "--store", str(STORE), "--runs", str(RUNS)]
    command += [part for override in overrides for part in ("--set", override)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    study = load_study(EXPERIMENTS / f"{name}.yaml", overrides)
    results: Results = json.loads((RUNS / study.config.name / "results.json").read_text())
    return results


def run_ensembles() -> Results:
    """The rows and models of `tasks.yaml`, topic alone, with 1 to 8 weak models."""
    study = load_study(EXPERIMENTS / "tasks.yaml", ["grid={}", "task.data=world:topic", "name=world-ensemble"])
    cells = tuple(replace(cell, method=Bagging(name=f"{members:d}", members=members)) for members in MEMBERS for cell in study.cells)
    with Context(open_store(str(STORE)), lambda: RayExecutor(str(STORE), None, False)) as context:
        runs = run_cells(replace(study, cells=cells), context)
        collected = collect(context, runs, study.config.gap_se)
        assert collected is not None
        return build_results(study, context, runs, collected.value["summary"], 0.0)


def table(results: Results, by: Callable[[dict[str, Any]], str]) -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Markdown rows, one a group of cells, and the groups."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in results["cells"]:
        groups[by(cell)].append(cell)
    intervals = {by(row): row["pgr"] for row in results["summary"]}
    lines = [
        "| | seeds | weak | student | ceiling | smallest gap | PGR median [95 %] | min, max | hard-only weak -> student | better on |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, cells in groups.items():
        weak, student, ceiling = (np.array([cell[arm] for cell in cells]) for arm in ("floor", "student", "ceiling"))
        pgr = (student - weak) / (ceiling - weak)
        hard = np.array([[cell["slices"]["hard"][arm] for arm in ("floor", "student")] for cell in cells])
        told = intervals[name]
        bounds = f"{told['median']:.2f} [{told['low']:.2f}, {told['high']:.2f}]" if told["median"] is not None else "no gap"
        lines.append(
            f"| {name} | {len(cells)} | {weak.mean():.3f} ({weak.min():.3f} to {weak.max():.3f}) | {student.mean():.3f} | {ceiling.mean():.3f} (min {ceiling.min():.3f}) "
            f"| {(ceiling - weak).min():.3f} | {bounds} | {pgr.min():.2f}, {pgr.max():.2f} | {hard[:, 0].mean():.3f} -> {hard[:, 1].mean():.3f} "
            f"| {(hard[:, 1] > hard[:, 0]).sum()} of {len(cells)} |"
        )
    return lines, groups


def write_csv(name: str, groups: dict[str, list[dict[str, Any]]]) -> None:
    folder = HERE / "world"
    folder.mkdir(exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            ["group", "seed", "floor", "student", "ceiling", *(f"{kind}_{arm}" for kind in KINDS for arm in ("floor", "student", "ceiling")), "weak_labels"]
        )
        for group, cells in groups.items():
            for cell in cells:
                slices = [round(cell["slices"][kind][arm], 4) for kind in KINDS for arm in ("floor", "student", "ceiling")]
                out.writerow(
                    [group, cell["seed"], *(round(cell[arm], 4) for arm in ("floor", "student", "ceiling")), *slices, round(cell["labels"]["accuracy"], 4)]
                )


def plot(name: str, title: str, x_label: str, lines: dict[str, tuple[Sequence[Any], Sequence[Sequence[float]]]], y_label: str = "gap recovered") -> None:
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


# With 1 / width, as Yang et al. 2022 (arXiv 2203.03466) derive for Adam; fixed before the runs. `world/mini` has the study's own rate.
RATES = {"world/micro": "8e-4", "world/small": "2e-4"}


def sizes() -> Iterator[str]:
    one_rate = run_study("sizes")
    by_width = [
        run_study(
            "sizes", [f"grid={{task.data: [world:topic, world:negation], models.strong: [{model}]}}", f"train.strong.lr={rate}", f"name=world-sizes-{rate}"]
        )
        for model, rate in RATES.items()
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for label, parts in (("one lr", [one_rate]), ("lr with 1 / width", [*by_width, one_rate])):
        for part in parts:
            lines, found = table(part, lambda row: f"{data_of(row)}, {label}, {row['strong'].split('/')[-1]}")  # noqa: B023  # used at once
            groups = found | groups
            yield from lines if part is not one_rate or label == "one lr" else ()
    write_csv("sizes", groups)
    curves: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for size in ("micro", "mini", "small"):
        for name, cells in groups.items():
            if name.endswith(size):
                curves[name.rsplit(", ", 1)[0]][size] = cells
    title = "A larger student that has read more"
    plot("sizes", title, "student", {name: (list(sizes), [pgr(cells) for cells in sizes.values()]) for name, sizes in curves.items()})
    accuracies = {name: (list(sizes), [[cell["student"] for cell in cells] for cells in sizes.values()]) for name, sizes in curves.items()}
    plot("sizes-accuracy", title, "student", accuracies, "student's accuracy")
    for name, sizes in curves.items():
        for smaller, larger in pairwise(sizes):
            difference = np.array([one["student"] - other["student"] for one, other in zip(sizes[larger], sizes[smaller], strict=True)])
            yield f"{name}: {larger} minus {smaller}, the student's accuracy{_paired(difference, 3)}"


def rate_of(row: dict[str, Any]) -> str:
    return str(row["method"]).split("lr=")[1].split(")")[0]


def _paired(difference: np.ndarray, digits: int = 2) -> str:
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return f", paired by seed: {difference.mean():+.{digits}f} (s.e. {error:.{digits}f}, above 0 on {(difference > 0).sum()} of {len(difference)})"


def overlap() -> Iterator[str]:
    lines, groups = table(run_study("overlap"), data_of)
    write_csv("overlap", groups)
    shares = [float(name.rsplit("=", 1)[1]) for name in groups]
    recovered = [pgr(cells) for cells in groups.values()]
    plot("overlap", "Overlap connects what the teacher knows with what the student knows", "share of overlap rows", {"world:topic": (shares, recovered)})
    yield from lines
    for share, values in list(zip(shares, recovered, strict=True))[1:]:
        yield f"overlap {share:g} minus {shares[0]:g}{_paired(np.array(values) - np.array(recovered[0]))}"


def untrained() -> Iterator[str]:
    results = run_study("untrained")
    lines, groups = table(results, lambda row: f"untrained, 3 epochs, lr {rate_of(row)}")
    write_csv("untrained", groups)
    yield from lines


def ensemble() -> Iterator[str]:
    lines, groups = table(run_ensembles(), lambda row: str(row["method"]))
    write_csv("ensemble", groups)
    students = [[cell["student"] for cell in cells] for cells in groups.values()]
    labels = [[cell["labels"]["accuracy"] for cell in cells] for cells in groups.values()]
    plot("ensemble", "More weak models", "members", {"weak labels": (list(MEMBERS), labels), "student": (list(MEMBERS), students)}, "accuracy")
    yield from lines
    for members, cells in groups.items():
        yield f"{members} members: weak labels {np.mean([cell['labels']['accuracy'] for cell in cells]):.3f}, student {np.mean([cell['student'] for cell in cells]):.3f}"


def judge() -> Iterator[str]:
    """The weak model as the judge of two arguments, and of two bare names."""
    for data in ("world:debate", "world:debate?arguments=false"):
        results = run_study("tasks", ["grid={}", f"task.data={data}", "name=world-judge", "seeds=[0,1,2,3,4]", "models.strong=world/nano"])
        floors = [cell["floor"] for cell in results["cells"]]
        yield f"{data}: the weak judge is right on {np.mean(floors):.3f} ({min(floors):.3f} to {max(floors):.3f}, {len(floors)} seeds)"


def cell() -> Iterator[str]:
    """One naive cell with an empty store, Ray's start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).parent / "w2s"), "run", str(EXPERIMENTS / "tasks.yaml"), "--store", f"{folder}/store", "--runs", f"{folder}/runs"]
        started = time.perf_counter()
        subprocess.run([*command, "--set", "grid={}", "--set", "seeds=[0]"], check=True, stdout=subprocess.DEVNULL)
        yield f"one naive cell: {time.perf_counter() - started:.1f} s"


PARTS = {part.__name__: part for part in (cell, tasks, topic5, sizes, overlap, untrained, ensemble, judge)}


def main() -> None:
    for name in sys.argv[1:] or PARTS:
        print(f"\n## {name}\n", flush=True)
        for line in PARTS[name]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
