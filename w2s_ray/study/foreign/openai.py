"""Result folders of openai/weak-to-strong.

Two layouts. `train_simple.py` (also through `sweep.py`) writes a folder a run: `config.json` and `results_summary.json`
(its lines 307 to 311), and beside a ground-truth run its labels of the pool, `weak_labels` (line 301). A student's
config holds that of the run that made its labels, whole (`weak_model`, line 262), so its floor is found exactly. Its
ceiling is the ground-truth run with the student's own settings and cross-entropy, which is how the script itself names
the folder of a teacher (lines 217 to 228). The older `train_weak_to_strong.py` writes one file a pair,
`WEAK_STRONG.results_summary.json` (lines 322 to 343), which names neither its data nor its seed.

`results.pkl`, where the answers on the test rows are, is a pickle and is not opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_ray.core.errors import DataError
from w2s_ray.study.foreign.files import (
    Columns,
    Folder,
    Name,
    Number,
    Read,
    Seed,
    Share,
    checked,
    read_as,
    read_labels,
    read_object,
)
from w2s_ray.study.foreign.runs import Arm, Found, Labels, Run, shared

CONFIG, SUMMARY = "config.json", "results_summary.json"
PAIR = ".results_summary.json"
RUN_FOLDER = "-ms="  # in a run's folder's name: its model_size (lines 125 to 141)
COLUMNS = Columns("gt_label", "soft_label")  # weak_to_strong/eval.py, lines 50 to 60
METHODS = {"xent": "naive", "logconf": "logconf", "product": "product"}  # train_simple.py, lines 116 to 120
# Of their names "/" becomes "_" in a file's (train_weak_to_strong.py, line 335).
SLASHED = ("Qwen/Qwen-1_8B", "Qwen/Qwen-7B", "Qwen/Qwen-14B", "Qwen/Qwen-72B")
KNOWN = {name.replace("/", "_"): name for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", *SLASHED)}
NOT_RECORDED = "not recorded"


class Made(Read):
    """How one model was made (train_simple.py, lines 195 to 215)."""

    ds_name: Name
    model_size: Name
    loss: Name
    batch_size: Number | None = None
    max_ctx: Number | None = None
    n_docs: Number | None = None
    n_test_docs: Number | None = None
    lr: Number | None = None
    optim: Name | None = None
    epochs: Number | None = None
    seed: Seed | None = None
    train_with_dropout: bool | None = None
    linear_probe: bool | None = None
    lr_schedule: Name | None = None
    eval_every: Number | None = None

    @property
    def identity(self) -> str:
        """Equal for equal runs, also for a teacher as a student's config has it."""
        return json.dumps(self.made, sort_keys=True)

    @property
    def made(self) -> dict[str, Any]:
        return self.model_dump(include=set(Made.model_fields))

    def with_gold(self) -> Made:
        """The same model trained on gold: the ceiling of a student."""
        return Made(**{**self.made, "loss": "xent"})


class Config(Made):
    """A run's `config.json`; a student's names its teacher."""

    weak_model_size: Name | None = None
    weak_model: Made | None = None


class Accuracy(Read):
    """A run's `results_summary.json`."""

    accuracy: Share


class PairFile(Read):
    """The first two values of the older script; the others are `transfer_acc_LOSS`."""

    weak_acc: Share
    strong_acc: Share


@dataclass(frozen=True)
class _Trained:
    """One run of `train_simple.py`."""

    folder: Path
    config: Config
    accuracy: float


def read(folder: Folder) -> Found | None:
    """All students below a folder; None where there is nothing of this code."""
    trained, pairs = [], []
    for here, files in folder.walk():
        if SUMMARY in files:
            trained += _trained(folder, here)
        elif RUN_FOLDER in here.name:
            folder.tell(here, f"a run that has not ended: it has no {SUMMARY}")
        pairs += [run for name in files if name.endswith(PAIR) for run in _of_pair(folder, here / name)]
    teachers = _gold_runs(folder, trained)
    runs = [_student(run, teachers, folder) for run in trained if _is_student(run.config)]
    known = [run for run in runs if run is not None]
    if not known and not pairs and not trained:
        return None
    labels = list(_labels(folder, trained, teachers))
    where = {*(["labelled"] if known else []), *(["pool"] if pairs else [])}
    return Found(
        "openai/weak-to-strong",
        "accuracy",
        where.pop() if len(where) == 1 else None,
        [*known, *pairs],
        labels,
        _conventions(known, pairs),
    )


def _trained(folder: Folder, here: Path) -> list[_Trained]:
    config = folder.attempt(here / CONFIG, read_as(Config))
    found = config and folder.attempt(here / SUMMARY, read_as(Accuracy))
    return [_Trained(here, config, found.accuracy)] if config and found else []


def _is_student(config: Config) -> bool:
    return config.weak_model is not None or config.weak_model_size is not None


def _gold_runs(folder: Folder, trained: list[_Trained]) -> dict[str, _Trained]:
    """Ground-truth runs by how they were made."""
    found: dict[str, _Trained] = {}
    for run in trained:
        if _is_student(run.config):
            continue
        if run.config.loss != "xent":
            folder.tell(run.folder, f"a ground-truth run with the loss {run.config.loss}; no floor or ceiling is taken"
                        " from it")  # fmt: skip
            continue
        first = found.setdefault(run.config.identity, run)
        if first is not run:
            folder.tell(run.folder, f"the same ground-truth run as {folder.name(first.folder)}, which stands for it"
                        f" (accuracy {run.accuracy:.4f} and {first.accuracy:.4f})")  # fmt: skip
    return found


def _student(run: _Trained, gold: Mapping[str, _Trained], folder: Folder) -> Run | None:
    config = run.config
    if config.loss not in METHODS:
        folder.tell(run.folder, f"its loss {config.loss} is none of {', '.join(METHODS)}; left out")
        return None
    weak = config.weak_model.model_size if config.weak_model else config.weak_model_size
    assert weak is not None, "checked where students are told from others"
    teacher = gold.get(config.weak_model.identity) if config.weak_model else None
    ceiling = gold.get(config.with_gold().identity)
    missing = " ".join(
        f"There is no ground-truth run of {model} with these settings, so there is no {role}."
        for role, model, found in (("floor", weak, teacher), ("ceiling", config.model_size, ceiling))
        if found is None
    )
    if missing:
        folder.tell(run.folder, missing)
    return Run(
        METHODS[config.loss] + ", linear probe" * bool(config.linear_probe),
        config.ds_name,
        weak,
        config.model_size,
        config.seed,
        Arm(run.accuracy),
        Arm(teacher.accuracy) if teacher else None,
        Arm(ceiling.accuracy) if ceiling else None,
        missing,
        folder.name(run.folder),
        _settings(config),
    )


def _settings(config: Config) -> dict[str, Any]:
    """All but what the table's columns say; of the teacher what may differ."""
    in_columns = ("ds_name", "model_size", "loss", "seed", "linear_probe")
    own = {name: value for name, value in config.made.items() if name not in in_columns}
    teacher = {"weak lr": config.weak_model.lr, "weak optim": config.weak_model.optim} if config.weak_model else {}
    return {**own, **teacher}


def _labels(folder: Folder, trained: list[_Trained], gold: Mapping[str, _Trained]) -> Iterator[Labels]:
    """Of the teachers that have students here."""
    asked = {run.config.weak_model.identity for run in trained if run.config.weak_model}
    for identity in sorted(asked & gold.keys()):
        run, path = gold[identity], gold[identity].folder / "weak_labels"
        if not path.is_dir():
            continue
        try:
            labels, truth = read_labels(path, COLUMNS)
        except DataError as error:
            folder.tell(path, error)
        else:
            yield Labels(run.config.model_size, run.config.ds_name, run.config.seed, labels, truth)


def _of_pair(folder: Folder, path: Path) -> list[Run]:
    """The students of a file of the older script."""
    try:
        raw = read_object(path)
        found, names = checked(PairFile, raw), _models_of(path)
    except DataError as error:
        folder.tell(path, error)
        return []
    place = folder.name(path.parent)
    task = NOT_RECORDED if path.parent == folder.root else f"{NOT_RECORDED} ({place})"
    runs = []
    for key, value in raw.items():
        loss = key.removeprefix("transfer_acc_")
        if loss == key:
            continue
        if loss not in METHODS or not isinstance(value, int | float) or not 0 <= value <= 1:
            folder.tell(path, f"{key} is no accuracy of a loss among {', '.join(METHODS)}; left out")
            continue
        arms = Arm(float(value)), Arm(found.weak_acc), Arm(found.strong_acc)
        runs.append(Run(METHODS[loss], task, *names, None, *arms, "", folder.name(path)))
    return runs


def _models_of(path: Path) -> tuple[str, str]:
    """Weak and strong model of `WEAK_STRONG.results_summary.json`, whose names may hold `_` too: the split of which
    both halves are models, by the script's own list, or by the folders of their fits beside the file (lines 270 and
    287)."""
    name = path.name.removesuffix(PAIR)
    splits = [(name[: at.start()], name[at.end() :]) for at in re.finditer("_", name)]
    beside = [
        (weak, strong)
        for weak, strong in splits
        if weak and strong
        and (path.parent / "weak_model_gt" / weak).is_dir()
        and (path.parent / "strong_model_gt" / strong).is_dir()
    ]  # fmt: skip
    listed = [(weak, strong) for weak, strong in splits if weak in KNOWN and strong in KNOWN]
    for found in (listed, beside, splits):
        if len(found) == 1:
            weak, strong = found[0]
            names = checked(_Names, {"weak": KNOWN.get(weak, weak), "strong": KNOWN.get(strong, strong)})
            return names.weak, names.strong
    raise DataError("its name does not say where that of the weak model ends")


class _Names(Read):
    weak: Name
    strong: Name


def _conventions(students: list[Run], pairs: list[Run]) -> dict[str, str]:
    older = bool(pairs) and not students
    on = {
        "labelled": "the first half of the training rows, which are the teacher's own (`ceiling_on: labelled`)",
        "pool": "the second half, which are the student's (`ceiling_on: pool`)",
    }
    mixed = f"runs of train_simple.py on {on['labelled']}; files WEAK_STRONG{PAIR} on {on['pool']}"
    told = {
        "metric": "accuracy",
        "floor": "the weak model, trained on gold labels of the first half of the training rows",
        "ceiling": f"the strong model, trained on gold labels of {on['pool' if older else 'labelled']}"
        if not (pairs and students)
        else f"the strong model, trained on gold labels: {mixed}",
        "gap recovered here": "of each student against floor and ceiling of the same seed and settings, where the"
        " ceiling is above the floor",
        "gap recovered there": "notebooks/Plotting.ipynb: against means over seeds, pairs of a model with itself and"
        " those without a gap left out, the median over runs; given where there are several pairs",
        "test rows": "the first n_test_docs rows of the test split (cosmos_qa, boolq: validation), less those that are"
        " too long for each model's own tokenizer: models of different tokenizers may have met different rows. How many"
        " there were is not recorded",
        "weights": "those after the last step; no early stopping",
        "near to this here": "`convention: openai`; docs/how-to/conventions.md has every switch and the known faults",
    }
    common = shared(students)
    settings = ", ".join(f"{name} {value}" for name, value in common.items() if value != NOT_RECORDED)
    if pairs:
        told["not recorded"] = f"dataset, seed and settings of WEAK_STRONG{PAIR}"
    return {**told, **({"settings of all students": settings} if settings else {})}
