"""A ladder of models, each teaching itself and every larger one: what one study costs, and what a script for every fit
costs, as the field has it.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/sweep.py DATA/sciq  # a quarter of an hour on two shared cores

DATA/sciq is a folder with train.jsonl and test.jsonl of rows {txt, hard_label, id}. Three Llamas with random weights
over the most frequent words of the training texts: with nothing pretrained there is nothing to elicit, so this is about
steps and seconds, not about science; all accuracies are near chance.

The ways take turns. `w2s run` and `w2s run --local` start from an empty store each time; the scripts (train_plain.py)
are a new process for each of the nine fits, one after another, with the rows of the study's own splits. Prints the
tables of benchmarks/sweep.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

WIDTHS, ONE_MORE = (32, 64, 128), 192
LAYERS, HEADS, WORDS, POSITIONS = 2, 4, 8000, 512
TEST, EPOCHS, LR, SEED = 900, 2, 1e-3, 0

T = TypeVar("T")
Results = dict[str, Any]
Table = dict[tuple[int, int], tuple[float, float, float]]  # (weak, strong) -> accuracy of weak, student, strong


@dataclass(frozen=True)
class Place:
    """A temporary folder with the study, the models and the rows for the scripts."""

    folder: Path
    data: Path
    num_rows: int  # of the labelled half, and of the pool

    def model(self, width: int) -> Path:
        return self.folder / "models" / f"w{width}"

    def build_models(self) -> None:
        from w2s_ray.backends.models.scratch import SPECIAL, build_scratch

        with open(self.data / "train.jsonl", encoding="utf-8") as file:
            counts = Counter(word for line in file for word in json.loads(line)["txt"].split())
        words = [word for word, _ in counts.most_common() if word not in SPECIAL][:WORDS]
        for width in (*WIDTHS, ONE_MORE):
            build_scratch(
                self.model(width),
                words,
                hidden=width,
                layers=LAYERS,
                heads=HEADS,
                ffn=4 * width,
                seed=SEED,
                positions=POSITIONS,
            )

    def write_study(self, widths: tuple[int, ...]) -> Path:
        """JSON is YAML."""
        pairs = [
            {"weak": f"models/w{weak}", "strong": f"models/w{strong}"}
            for weak, strong in combinations_with_replacement(widths, 2)
        ]
        study = {
            "name": f"sweep-{len(widths)}",
            "hypothesis": "Nine fits serve a ladder of three; nothing is elicited from random weights.",
            "convention": "openai",
            "task": {
                "data": f"file:{self.data / 'train.jsonl'}", "test_data": f"file:{self.data / 'test.jsonl'}",
                "columns": {"text": "txt", "label": "hard_label", "id": "id"},
                "labelled": self.num_rows, "pool": self.num_rows, "test": TEST, "max_words": 400,
            },
            "models": pairs[0],
            "methods": ["naive"],
            "train": {"weak": {"lr": LR, "epochs": EPOCHS}, "strong": {"lr": LR, "epochs": EPOCHS}},
            "seeds": [SEED],
            "grid": {"models": pairs},
        }  # fmt: skip
        path = self.folder / f"{study['name']}.yaml"
        path.write_text(json.dumps(study), encoding="utf-8")
        return path

    def write_rows(self) -> None:
        """The study's own splits, for the scripts."""
        from w2s_ray.config.load import load_study
        from w2s_ray.data.prepare import prepare

        prepared = prepare(load_study(self.write_study(WIDTHS)).config.task, self.folder)
        for split in ("labelled", "pool", "test"):
            data, gold = prepared.splits[split], prepared.gold[split].align(prepared.splits[split].ids)
            rows = zip(
                data.ids.tolist(), data.inputs["text"], gold.hard_N.tolist(), gold.probs_NK.tolist(), strict=True
            )
            lines = [
                json.dumps({"id": i, "txt": text, "hard_label": hard, "soft_label": soft})
                for i, text, hard, soft in rows
            ]
            (self.folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def run_study(self, widths: tuple[int, ...], store: str, *more: str) -> Results:
        """As a user would."""
        w2s, study = Path(sys.executable).with_name("w2s"), self.write_study(widths)
        places = ["--store", str(self.folder / store), "--runs", str(self.folder / "runs")]
        subprocess.run([w2s, "run", str(study), *places, *more], check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
        results: Results = json.loads(
            (self.folder / "runs" / f"sweep-{len(widths)}" / "results.json").read_text(encoding="utf-8")
        )
        return results

    def run_scripts(self, out: str, minibatch: int) -> Table:
        """All gold runs, then all transfers, each a process, as openai/weak-to-strong's sweep.py has it."""
        results = self.folder / out
        for width in WIDTHS:
            self.script(
                width,
                self.folder / "labelled.jsonl",
                results / f"gold-{width}",
                minibatch,
                "--pool",
                str(self.folder / "pool.jsonl"),
            )
        pairs = list(combinations_with_replacement(WIDTHS, 2))
        for weak, strong in pairs:
            self.script(strong, results / f"gold-{weak}" / "weak_labels.jsonl", results / f"{weak}-{strong}", minibatch)
        accuracy = {
            path.parent.name: json.loads(path.read_text())["accuracy"]
            for path in results.glob("*/results_summary.json")
        }
        return {
            (weak, strong): (accuracy[f"gold-{weak}"], accuracy[f"{weak}-{strong}"], accuracy[f"gold-{strong}"])
            for weak, strong in pairs
        }

    def script(self, width: int, rows: Path, out: Path, minibatch: int, *more: str) -> None:
        files = ["--model", self.model(width), "--train", rows, "--test", self.folder / "test.jsonl", "--out", out]
        recipe = ["--lr", str(LR), "--epochs", str(EPOCHS), "--minibatch", str(minibatch)]
        subprocess.run([sys.executable, Path(__file__).with_name("train_plain.py"), *files, *recipe, *more], check=True)


def check_steps(results: Results, made: int, *, found: bool = False) -> None:
    """The claim that this benchmark is about: every fit once. A run that found all made nothing at all."""
    executed = results["steps"]["by_step"]["train"].get("executed", 0)
    if executed != made or results["steps"]["failed"] or (found and results["steps"]["executed"]):
        raise SystemExit(
            f"{results['name']}: {executed} fits executed where {made} were due; steps: {results['steps']}"
        )


def table_of(results: Results) -> dict[tuple[int, int], tuple[tuple[float, float, float], float | None]]:
    """(weak, strong) -> accuracies, and the gap recovered where there is a gap."""
    (sweep,) = results["sweep"]
    width = {f"models/w{width}": width for width in (*WIDTHS, ONE_MORE)}
    return {
        (width[pair["weak"]], width[pair["strong"]]): ((pair["floor"], pair["student"], pair["ceiling"]), pair["pgr"])
        for pair in sweep["pairs"]
    }


class Clock:
    """Seconds of each way, one a round."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def time(self, way: str, run: Callable[..., T], *arguments: Any) -> T:
        started = time.perf_counter()
        value = run(*arguments)
        self.seconds.setdefault(way, []).append(time.perf_counter() - started)
        print(f"{way}: {self.seconds[way][-1]:.1f} s", file=sys.stderr, flush=True)
        return value

    def lines(self, unit: str) -> list[str]:
        """Medians, and how many times as long as `unit` each takes."""
        base = median(self.seconds[unit])
        rows = [
            f"| {way} | {', '.join(f'{s:.1f}' for s in all_)} | {median(all_):.1f} | {median(all_) / base:.2f} |"
            for way, all_ in self.seconds.items()
        ]
        return [f"| way | s, each round | median s | times `{unit}` |", "|---|---|---|---|", *rows]


def step_lines(runs: dict[str, Results]) -> list[str]:
    lines = ["| run | fits executed | fits reused | all steps executed | all steps reused |", "|---|---|---|---|---|"]
    for name, results in runs.items():
        steps, fits = results["steps"], results["steps"]["by_step"]["train"]
        lines.append(
            f"| {name} | {fits.get('executed', 0)} | {fits.get('reused', 0)} | {steps['executed']} |"
            f" {steps['reused']} |"
        )
    return lines


def accuracy_lines(results: Results, scripts: dict[int, Table]) -> list[str]:
    names = [f"scripts, minibatch {minibatch}: weak, student, strong" for minibatch in scripts]
    lines = [
        "| weak | strong | weak's accuracy | student's | strong's | gap recovered | " + " | ".join(names) + " |",
        "|" + "---|" * (6 + len(names)),
    ]
    for (weak, strong), (accuracies, pgr) in table_of(results).items():
        theirs = [", ".join(f"{value:.3f}" for value in table[weak, strong]) for table in scripts.values()]
        cells = [
            f"w{weak}",
            f"w{strong}",
            *(f"{value:.3f}" for value in accuracies),
            "no gap" if pgr is None else f"{pgr:.2f}",
            *theirs,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def compare(place: Place, rounds: int, minibatches: list[int]) -> None:
    clock = Clock()
    runs: dict[str, Results] = {}
    scripts: dict[int, Table] = {}
    for turn in range(rounds):
        ray, local = f"store-ray-{turn}", f"store-local-{turn}"
        runs["first, on Ray"] = clock.time("w2s run", place.run_study, WIDTHS, ray)
        runs["again, on Ray's store"] = clock.time("w2s run, again", place.run_study, WIDTHS, ray)
        runs["first, --local"] = clock.time("w2s run --local", place.run_study, WIDTHS, local, "--local")
        check_steps(runs["first, on Ray"], 9)
        check_steps(runs["first, --local"], 9)
        check_steps(runs["again, on Ray's store"], 0, found=True)
        for minibatch in minibatches:
            scripts[minibatch] = clock.time(
                f"nine scripts, minibatch {minibatch}", place.run_scripts, f"scripts-{minibatch}-{turn}", minibatch
            )
    more = clock.time("w2s run --local, one model more", place.run_study, (*WIDTHS, ONE_MORE), local, "--local")
    runs[f"with w{ONE_MORE} added, --local"] = more
    check_steps(more, 5)
    print(
        f"{place.num_rows} labelled, {place.num_rows} pool, {TEST} test rows, {EPOCHS} epochs, seed {SEED}; {rounds}"
        f" rounds; {os.cpu_count()} cores"
    )
    for lines in (clock.lines("w2s run"), step_lines(runs), accuracy_lines(runs["first, --local"], scripts)):
        print("\n" + "\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with train.jsonl and test.jsonl: txt, hard_label, id")
    parser.add_argument(
        "--rows",
        type=int,
        default=768,
        help="labelled, and as many for the pool; whole batches of 32 make as many steps in both ways",
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--minibatches", type=int, nargs="*", default=[1, 32], help="of the scripts; 1 is train_simple.py's default"
    )
    args = parser.parse_args()
    missing = [name for name in ("train.jsonl", "test.jsonl") if not (args.data / name).is_file()]
    if missing:
        raise SystemExit(
            f"{args.data} has no {' and no '.join(missing)}; give a folder with both, of rows {{txt, hard_label, id}}"
        )
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), args.data.resolve(), args.rows)
        place.build_models()
        place.write_rows()
        compare(place, args.rounds, args.minibatches)


if __name__ == "__main__":
    main()
