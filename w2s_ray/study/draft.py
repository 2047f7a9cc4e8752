"""A first study as a YAML that teaches: rows, two models, methods, and beside each line what it means.

Nothing is written that `w2s plan` would refuse.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from w2s_ray.config.load import Study, anchored, expand, parse_value
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import available, find, summary
from w2s_ray.data.files import READERS
from w2s_ray.data.guess import Guess, guess_file
from w2s_ray.data.label_files import EXTERNAL
from w2s_ray.data.prepare import Prepared, prepare
from w2s_ray.study.check import check_names, check_rows

DATA, WEAK, STRONG = "world:topic", "world/nano", "world/small"
HYPOTHESIS = "The student ends between its teacher and its ceiling."
WIDTH = 52  # of a line before its comment
LONGEST = 90  # letters of a comment that quotes something
# Of the built-in models what the quickstart takes, of others what suits most pretrained ones.
RECIPES = {"weak": {"lr": 2e-3, "epochs": 4}, "strong": {"lr": 4e-4, "epochs": 1}}
OF_OTHERS = {"lr": 1e-4, "epochs": 2}

Line = tuple[str, str]  # what the YAML says, and the comment beside it


@dataclass(frozen=True)
class RowsFound:
    """The rows that a study is to be about. Those of the hub are not fetched to be looked at."""

    task: dict[str, Any]
    guess: Guess | None = None
    prepared: Prepared | None = None

    @property
    def methods(self) -> list[str]:
        """The plain method, and the best known loss where there are the two classes that it is made for."""
        two = self.prepared is not None and len(self.prepared.splits["pool"].classes) == 2
        return ["naive", "logconf"] if two else ["naive"]


@dataclass(frozen=True)
class Draft:
    """A study that does not stand anywhere yet."""

    name: str
    rows: RowsFound
    weak: str = WEAK
    strong: str = STRONG
    methods: Sequence[str] = field(default_factory=lambda: ["naive"])

    @property
    def raw(self) -> dict[str, Any]:
        train = {role: recipe for role, model in self._roles if (recipe := _recipe(role, model))}
        return {
            "name": self.name, "hypothesis": HYPOTHESIS, "task": self.rows.task,
            "models": {"weak": self.weak, "strong": self.strong}, "methods": [_method(name) for name in self.methods],
            "train": train, "seeds": [0, 1, 2],
        }  # fmt: skip

    @property
    def _roles(self) -> tuple[tuple[str, str], ...]:
        return (("weak", self.weak), ("strong", self.strong))


def rows_found(data: str, format: str | None, columns: Mapping[str, str]) -> RowsFound:
    """Look at the rows: `data` is a source's name, or the path of a file, which starts in this folder."""
    data = f"file:{data}" if Path(data).suffix in READERS and not data.startswith(("file:", "hub:")) else data
    guess = None
    task: dict[str, Any] = {"data": data}
    if data.startswith("file:"):
        guess = guess_file(Path(data.removeprefix("file:")).expanduser(), format, columns)
        format, columns = guess.format, guess.columns
    elif data.startswith("world:"):
        task |= {"labelled": 2000, "pool": 2000, "test": 2000}
    task |= {"format": format} if format else {}
    task |= {"columns": dict(columns)} if columns else {}
    prepared = None if data.startswith("hub:") else prepare(TaskSpec.model_validate(task), Path.cwd())
    return RowsFound(task, guess, prepared)


def checked(draft: Draft, folder: Path) -> Study:
    """The draft as the study that it will be in `folder`, after all that a plan refuses is refused."""
    study = expand(_placed(draft, folder), folder)
    check_names(study)
    if draft.rows.prepared is not None:
        for cell in study.cells:
            check_rows(cell, {"facts": draft.rows.prepared.facts})
    return study


def written(draft: Draft, folder: Path, schema: str) -> str:
    """Its YAML, with names of files as they are from `folder`; `schema` is the file that an editor checks it by."""
    raw = _placed(draft, folder)
    head = [
        f"# yaml-language-server: $schema={schema}",
        "# `w2s plan FILE` says what this would compute, `w2s run FILE` does it.",
    ]
    lines = [text if not comment else f"{text:<{WIDTH}}  # {comment}" for text, comment in _lines(draft, raw)]
    return "\n".join([*head, *lines]) + "\n"


def _placed(draft: Draft, folder: Path) -> dict[str, Any]:
    """What was typed here means the same in a YAML in another folder."""
    return draft.raw if folder.resolve() == Path.cwd() else anchored(draft.raw, Path.cwd())


def _lines(draft: Draft, raw: dict[str, Any]) -> Iterator[Line]:
    yield f"name: {_yaml(draft.name)}", "the results are in runs/NAME/"
    yield f"hypothesis: {_yaml(HYPOTHESIS)}", "what you expect, written before the run"
    yield "task:", "the rows; test accuracy is measured on rows that nobody learns from"
    yield from _of_task(draft.rows, raw["task"])
    yield "models:", "world/NAME, a folder, package:NAME/FOLDER, hub:ORG/NAME[@COMMIT]"
    yield f"  weak: {_yaml(raw['models']['weak'])}", _of_weak(draft.weak)
    yield f"  strong: {_yaml(raw['models']['strong'])}", "the student of its labels; trained on gold, it is the ceiling"
    yield "methods:", "how the student learns; `w2s methods` lists them with their parameters"
    for name, method in zip(draft.methods, raw["methods"], strict=True):
        yield f"  - {_yaml(method)}", _of_method(name)
    yield "train:", "how each model is finetuned; an editor lists the other fields"
    for role, recipe in raw["train"].items():
        yield f"  {role}:", "the teacher" if role == "weak" else "the student, and the ceiling"
        yield f"    lr: {recipe['lr']!r}", "size of a step; `w2s tune` searches for a better one"
        yield f"    epochs: {recipe['epochs']}", "how often each row is seen"
    yield f"seeds: {raw['seeds']}", "repetitions of the training: intervals need three or more"


def _of_task(rows: RowsFound, task: dict[str, Any]) -> Iterator[Line]:
    from_file = task["data"].startswith("file:")
    where = "where they are; a relative path starts at this file's folder" if from_file else "where they are from"
    yield f"  data: {_yaml(task['data'])}", where
    if "format" in task:
        yield f"  format: {_yaml(task['format'])}", "how a row is read; `w2s data` lists the others"
    if "columns" in task:
        there = f"of {', '.join(map(_yaml, rows.guess.there))}" if rows.guess else "of the source"
        yield "  columns:", f"what the format reads: your column ({_short(there)})"
        for column, name in task["columns"].items():
            yield f"    {column}: {_yaml(name)}", _of_column(column, rows)
    for name, means in SIZES.items():
        if name in task:
            yield f"  {name}: {task[name]}", means
        else:
            yield f"  # {name}: 2000", means


SIZES = {
    "labelled": "at most so many rows with gold labels, for the weak teacher",
    "pool": "at most so many rows that the teacher labels and the student learns",
    "test": "at most so many test rows",
}
COLUMNS = {
    "text": "what the models read",
    "first": "what the models read first",
    "second": "what they read after it",
    "id": "labels of your own are joined by it",
    "prompt": "what is asked",
    "question": "what is asked",
    "choices": "the answers to choose from",
    "answer": "what is right",
    "chosen": "the better text; models see the two in random order",
    "rejected": "the other one",
}


def _of_column(column: str, rows: RowsFound) -> str:
    if column == "label":
        classes = rows.prepared.splits["pool"].classes if rows.prepared else ()
        return _short(f"the class: {', '.join(map(_yaml, classes))}") if classes else "the class"
    return COLUMNS.get(column, "`w2s data` says of each format what it reads")


def _of_weak(model: str) -> str:
    if model.startswith(EXTERNAL):
        return "the teacher: labels of your own, joined by id"
    return "the teacher: trained on the labelled half, it labels the pool"


def _of_method(name: str) -> str:
    group = "w2s_ray.methods" if name in available("w2s_ray.methods") else "w2s_ray.losses"
    return _short(summary(available(group)[name]))


def _method(name: str) -> Any:
    """A method, or the plain one with a loss of this name."""
    if name in available("w2s_ray.methods"):
        return name
    losses = available("w2s_ray.losses")
    if name not in losses:
        find("w2s_ray.methods", name)
    return {"type": "naive", "name": name, "loss": name}


def _recipe(role: str, model: str) -> dict[str, Any]:
    if model.startswith(EXTERNAL):
        return {}
    return RECIPES[role] if model.startswith("world/") else OF_OTHERS


def name_of(path: Path) -> str:
    """A study's name after its file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")
    if not name:
        raise ConfigError(f"{path.name} names no study; give the file a name of letters and digits, such as study.yaml")
    return name[:100]


def _short(text: str) -> str:
    return textwrap.shorten(text, LONGEST, placeholder=" …")


_PLAIN = re.compile(r"[A-Za-z][\w ./@-]*", re.ASCII)


def _yaml(value: Any) -> str:
    """On one line, as the loader reads it back."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    text = str(value)
    if _PLAIN.fullmatch(text) and parse_value(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', width=10**6, allow_unicode=True).strip()
