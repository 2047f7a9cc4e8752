"""Result folders of EleutherAI/w2s.

`run.py` writes a folder a fit, RESULTS/RUN/DATASET/STAGE for students (`w2s`, then `s2s-0`, …) and
RESULTS/SHARED/DATASET/{weak,strong} for floor and ceiling (its lines 37 to 38, 72, 95, 122 and 166). `w2s/sft.py` puts
into each `results.json`, what `transformers.Trainer.evaluate` says of the test rows (lines 268 to 273), then
`config.json`, the whole run's configuration with the fit's model (lines 276 to 282), then predictions of the pool
(lines 286 to 294).

The shared folder is one that the user must rename when the weak or the strong model changes (their README), so a floor
or ceiling is taken from it only where its config names the model that the student's does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

from pydantic import Field

from w2s_ray.core.errors import DataError
from w2s_ray.study.foreign.files import (
    Columns,
    Flat,
    Folder,
    Name,
    Number,
    Read,
    Seed,
    Share,
    printed,
    read_as,
    read_labels,
    read_object,
)
from w2s_ray.study.foreign.runs import Arm, Found, Labels, Run, shared

CONFIG, RESULTS = "config.json", "results.json"
COLUMNS = Columns("gt_labels", "soft_pred")  # run.py, line 31; w2s/sft.py, line 292
METHODS = {"xent": "naive", "logconf": "logconf", "entropy": "entropy", "window": "window", "kl": "kl"}  # w2s/loss.py
PROBES = {"knn": "knn", "logreg": "logistic", "topo": "topofilter"}  # w2s/probe.py
FIRST, AGAIN = "w2s", "s2s-"
SAME_ROWS = ("dataset", "n_train", "n_test")  # what the test rows follow from


class Evaluated(Read):
    """A fit's `results.json`."""

    eval_accuracy: Share | None = None
    eval_auroc: Share | None = None
    eval_runtime: Number | None = None
    eval_samples_per_second: Number | None = None

    @property
    def num_test(self) -> int | None:
        """Rows, from the time that they took and their number a second, which `transformers` rounds to 4 and 3 digits;
        where these leave more than one whole number, it is not known."""
        seconds, rate = self.eval_runtime, self.eval_samples_per_second
        if not seconds or not rate or min(seconds, rate) <= 0:
            return None
        least, most = (ceil((seconds - 5e-5) * (rate - 5e-4)), floor((seconds + 5e-5) * (rate + 5e-4)))
        return least if least == most and least > 0 else None

    @property
    def arm(self) -> Arm:
        return Arm(self.eval_accuracy, self.eval_auroc, self.num_test)


class _Model(Read):
    name: Name
    enable_lora: bool | None = None


class _Arguments(Read):
    seed: Seed | None = None


class Config(Read):
    """A fit's `config.json`: w2s/sft_config.py, with what w2s/sft.py adds."""

    weak_model_name: Name
    strong_model_name: Name
    dataset: Name
    loss_name: Name
    model: _Model
    transfer: bool
    shared_folder: Name
    loss: Flat = Field(default_factory=dict)
    probe: Flat = Field(default_factory=dict)
    train_args: _Arguments = _Arguments()
    probe_name: Name | None = None
    probe_relabel: bool = False
    probe_filter: bool = False
    probe_layer: int | None = None
    contamination: Number | None = None
    n_epochs: Number | None = None
    n_train: Number | None = None
    n_val: Number | None = None
    n_test: Number | None = None
    n_warmup_steps: Number | None = None
    eval_every: Number | None = None
    batch_size: Number | None = None
    lr_schedule: Name | None = None
    weight_decay: Number | None = None
    weak_lr: Number | None = None
    strong_lr: Number | None = None
    disable_lora: bool | None = None
    load_best_model_at_end: bool | None = None
    metric_for_best_model: Name | None = None

    @property
    def made(self) -> dict[str, Any]:
        """The choices of a run that its columns in a table do not say."""
        fields = set(Config.model_fields) - NOT_CHOICES
        told = {**self.model_dump(include=fields), **{f"loss {name}": value for name, value in self.loss.items()}}
        if self.probe_relabel or self.probe_filter:
            told |= {"probe_layer": self.probe_layer, **{f"probe {name}": value for name, value in self.probe.items()}}
        return told

    @property
    def method(self) -> str:
        """In the words of this package."""
        if self.loss_name not in METHODS:
            raise DataError(f"its loss {self.loss_name} is none of {', '.join(METHODS)}; left out")
        loss = METHODS[self.loss_name]
        if not (self.probe_relabel or self.probe_filter):
            return loss
        if self.probe_name not in PROBES:
            raise DataError(f"its probe {self.probe_name} is none of {', '.join(PROBES)}; left out")
        what = " and ".join(["filter"] * self.probe_filter + ["relabel"] * self.probe_relabel)
        return f"clean_labels ({PROBES[self.probe_name]}, {what})" + f", {loss}" * (loss != "naive")


NOT_CHOICES = {
    "weak_model_name", "strong_model_name", "dataset", "loss_name", "model", "transfer", "shared_folder", "loss",
    "probe", "train_args", "probe_name", "probe_relabel", "probe_filter", "probe_layer", "contamination",
}  # fmt: skip


@dataclass(frozen=True)
class _Fit:
    """One fit's folder."""

    folder: Path
    config: Config
    results: Evaluated


def read(folder: Folder) -> Found | None:
    """All students below a folder; None where there is nothing of this code."""
    fits = dict(_fits(folder))
    if not fits:
        return None
    students = [fit.folder for fit in fits.values() if fit.config.transfer]
    runs = [run for path in students if (run := folder.attempt(path, lambda path: _student(fits[path], fits, folder)))]
    labels = list(_labels(folder, fits))
    return Found("EleutherAI/w2s", "auroc", "pool", runs, labels, _conventions(runs))


def _fits(folder: Folder) -> Iterator[tuple[Path, _Fit]]:
    for here, files in folder.walk():
        if RESULTS not in files or not _is_fit(here):
            continue
        config = folder.attempt(here / CONFIG, read_as(Config))
        found = config and folder.attempt(here / RESULTS, read_as(Evaluated))
        if config and found:
            yield here, _Fit(here, config, found)


def _is_fit(here: Path) -> bool:
    """Whether a folder is of theirs: many programs write a results.json. Of one that cannot be read, such as one that
    was cut off, the config beside it decides."""
    try:
        return bool({"eval_accuracy", "eval_auroc"} & read_object(here / RESULTS).keys())
    except DataError:
        return _is_config(here / CONFIG)


def _is_config(path: Path) -> bool:
    try:
        read_as(Config)(path)
    except DataError:
        return False
    return True


def _student(fit: _Fit, fits: Mapping[Path, _Fit], folder: Folder) -> Run:
    """The fit as a student; raises where it cannot be one."""
    config = fit.config
    method = _method(config, fit.folder.name)
    if fit.results.eval_auroc is None:
        raise DataError("has no eval_auroc, the value that this code is read in; left out")
    arms: dict[str, Arm] = {}
    missing = []
    for arm, role, model in (
        ("floor", "weak", config.weak_model_name),
        ("ceiling", "strong", config.strong_model_name),
    ):
        try:
            arms[arm] = _shared(fit, fits, role, model, folder).results.arm
        except DataError as error:
            missing.append(f"There is no {arm}: {error}.")
    if missing:
        folder.tell(fit.folder, " ".join(missing))
    return Run(
        method,
        config.dataset,
        config.weak_model_name,
        config.strong_model_name,
        config.train_args.seed,
        fit.results.arm,
        arms.get("floor"),
        arms.get("ceiling"),
        " ".join(missing),
        folder.name(fit.folder),
        config.made,
    )


def _method(config: Config, stage: str) -> str:
    if stage == FIRST:
        return config.method
    number = stage.removeprefix(AGAIN)
    if not stage.startswith(AGAIN) or not (number.isascii() and number.isdigit() and len(number) < 4):
        raise DataError(f"{stage} is no stage of a student, which are {FIRST} and {AGAIN}0, {AGAIN}1, …; left out")
    iterations = f"strong_to_strong (iterations {int(number) + 1})"
    return iterations if config.method == "naive" else f"{iterations}, {config.method}"


def _shared(fit: _Fit, fits: Mapping[Path, _Fit], role: str, model: str, folder: Folder) -> _Fit:
    """Floor or ceiling of a student, among the fits that were found."""
    config, results = fit.config, fit.folder.parent.parent.parent
    found = fits.get(results / config.shared_folder / config.dataset / role)
    if found is None:
        shown = printed(f"{config.shared_folder}/{config.dataset}/{role}")
        raise DataError(f"{shown} has no results that can be read, in the folder that holds the run")
    name = folder.name(found.folder)
    if found.config.transfer or found.config.model.name != model:
        raise DataError(f"{name} is of {found.config.model.name}, and the {role} model of this run is {model}")
    other = [name for name in SAME_ROWS if getattr(found.config, name) != getattr(config, name)]
    if other:
        raise DataError(f"{name} has another {' and '.join(other)}, so other test rows")
    return found


def _labels(folder: Folder, fits: Mapping[Path, _Fit]) -> Iterator[Labels]:
    """Of the teachers, on the pool."""
    for fit in fits.values():
        path = fit.folder / "predictions" / "train"
        if fit.config.transfer or fit.folder.name != "weak" or not path.is_dir():
            continue
        try:
            labels, gold = read_labels(path, COLUMNS)
        except DataError as error:
            folder.tell(path, error)
        else:
            yield Labels(fit.config.model.name, fit.config.dataset, fit.config.train_args.seed, labels, gold)


def _conventions(runs: list[Run]) -> dict[str, str]:
    common = {name: value for name, value in shared(runs).items() if value != "not recorded"}
    told = {
        "metric": "ROC-AUC; accuracies are in `results.json` (`cells[].metrics`)",
        "floor": "the weak model, trained on gold labels of the first half of the training rows",
        "ceiling": "the strong model, trained on gold labels of the second half, the rows that the student sees"
        " (`ceiling_on: pool`)",
        "gap recovered here": "of each student against the floor and ceiling in its run's shared folder, where the"
        " ceiling is above the floor",
        "gap recovered there": "the repository computes none; the group's article has it in ROC-AUC",
        "test rows": "n_test rows at most, classes undersampled to equal counts; how many there were follows from the"
        " time that they took, where that leaves one number",
        "weights": "those of the best look at validation rows every eval_every steps, by `metric_for_best_model`; a"
        " student's validation labels are the weak ones",
        "seed": "that of `train_args`; the rows are split with seeds that the code fixes",
        "near to this here": "`convention: eleuther`; docs/how-to/conventions.md has every switch and the known faults",
    }
    settings = ", ".join(f"{name} {value}" for name, value in common.items())
    return {**told, **({"settings of all students": settings} if settings else {})}
