"""Names of the hub without a commit, and the lock file that says which commit each means.

`study.lock` lies beside `study.yaml`. A name is looked up there, then in the lock of the file that the study extends,
and else asked of the hub, once. From then on the study is as if the commit stood in its YAML: the raw config is
rewritten before anything else sees it, so no key and no file of a run knows of locks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from w2s_ray.config.load import Study, as_yaml, expand, followed, read_yaml
from w2s_ray.core.errors import ConfigError, InputError, ModelError
from w2s_ray.data.commits import MAIN, Commit, What, commit_of
from w2s_ray.data.hub import COMMIT

SOURCES = ("data", "test_data", "pool_data")
SECTIONS = ("task", "models", "methods", "train")  # those that name rows or models
BY_MODEL = "train.by_model."  # in a dotted key, before a model's name

_MODEL = re.compile(r"hub:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?(?P<rest>)")
_DATA = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)(?P<config>/[\w.-]+)?(?:@(?P<revision>[\w./-]+))?(?P<rest>#.*)?")

Rename = Callable[[What, str], str]


@dataclass(frozen=True, order=True)
class Pin:
    """A branch or tag of a repository of the hub."""

    what: What
    repo: str
    revision: str = MAIN

    def __str__(self) -> str:
        return self.repo if self.revision == MAIN else f"{self.repo}@{self.revision}"

    @staticmethod
    def of(what: What, name: str) -> Pin | None:
        """Of a name as a YAML has it; None where it holds a commit, or is none of the hub."""
        found = (_MODEL if what == "model" else _DATA).fullmatch(name)
        if found is None or COMMIT.fullmatch(found["revision"] or ""):
            return None
        return Pin(what, found["repo"], found["revision"] or MAIN)

    def commit(self) -> Commit:
        """As it is now."""
        try:
            return commit_of(self.what, self.repo, self.revision)
        except InputError as error:
            kind = ModelError if self.what == "model" else ConfigError
            raise kind(f"{'models' if self.what == 'model' else 'task.data'}: hub:{self} {error}") from None


@dataclass
class Lock:
    """The commits that a study's names mean."""

    path: Path
    pins: dict[Pin, str]
    inherited: Mapping[Pin, str] = field(default_factory=dict)  # of the file that is extended

    @staticmethod
    def beside(yaml_file: Path) -> Lock:
        """The lock of a study's YAML; an empty one, if there is none."""
        parent = extended(yaml_file)
        return Lock(lock_of(yaml_file), _read(lock_of(yaml_file)), {} if parent is None else _read(lock_of(parent)))

    def get(self, pin: Pin) -> str | None:
        return self.pins.get(pin, self.inherited.get(pin))

    def write(self) -> None:
        """Sorted, so that a difference of two versions is what moved."""
        study = self.path.with_suffix(".yaml").name
        head = f"# The commits that names of the hub in {study} mean. Made by `w2s pin`; to be kept with {study}.\n"
        kinds = [what for what in get_args(What) if any(pin.what == what for pin in self.pins)]
        body = {f"{w}s": {str(pin): self.pins[pin] for pin in sorted(self.pins) if pin.what == w} for w in kinds}
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        part.write_text(head + as_yaml(body), encoding="utf-8")
        os.replace(part, self.path)


def lock_of(yaml_file: Path) -> Path:
    """Where a study's lock lies."""
    return yaml_file.with_suffix(".lock")


def extended(yaml_file: Path) -> Path | None:
    """The file that a study extends."""
    parent = read_yaml(yaml_file).get("extends")
    return yaml_file.parent / parent if isinstance(parent, str) else None


def pins_of(study: Study) -> list[Pin]:
    """Everything that the study names without a commit."""
    found: set[Pin] = set()

    def noted(what: What, name: str) -> str:
        if (pin := Pin.of(what, name)) is not None:
            found.add(pin)
        return name

    _renamed(study.raw, noted)
    return sorted(found)


def pinned(study: Study, commits: Mapping[Pin, str]) -> Study:
    """The study with a commit in each name."""
    if not commits:
        return study

    def rename(what: What, name: str) -> str:
        pin = Pin.of(what, name)
        return name if pin is None else with_commit(what, name, commits[pin])

    return expand(_renamed(study.raw, rename) | followed(study.config), study.base)


def with_pins(study: Study, tell: Callable[[str], None], *, keep: bool = True) -> Study:
    """The study with a commit in each of its names of the hub. What is not in the lock beside its file is asked for and
    told; with `keep`, it is written there. A study that has no file has no lock, and asks each time."""
    pins = pins_of(study)
    if not pins:
        return study
    lock = None if study.file is None else Lock.beside(study.file)
    commits = {pin: commit for pin in pins if lock is not None and (commit := lock.get(pin)) is not None}
    new = [pin for pin in pins if pin not in commits]
    for pin in new:
        found = pin.commit()
        commits[pin] = found.digest
        tell(f"hub:{pin} is {found.digest}, {found.told_by}; {_kept_in(lock, keep)}")
    if lock is not None and new and keep:
        lock.pins |= {pin: commits[pin] for pin in new}
        _write(lock, tell)
    return pinned(study, commits)


def _kept_in(lock: Lock | None, keep: bool) -> str:
    if lock is None:
        return "not kept: write it after an @ into the study"
    name = lock.path.name
    return f"{name} keeps it" if keep else f"not kept: `w2s pin` or `w2s run` writes {name}"


def _write(lock: Lock, tell: Callable[[str], None]) -> None:
    try:
        lock.write()
    except OSError as error:
        tell(
            f"warning {lock.path} cannot be written ({error.strerror}), so the next run may mean other commits; write"
            " these after an @ into the study"
        )


def with_commit(what: What, name: str, commit: str) -> str:
    """A name with a commit in the place of its revision."""
    before, mark, split = name.partition("#") if what == "dataset" else (name, "", "")
    return f"{before.partition('@')[0]}@{commit}{mark}{split}"


def _renamed(raw: dict[str, Any], rename: Rename) -> dict[str, Any]:
    """A copy of a raw config with other names of rows and models."""
    copy = {key: _walk(value, (key,), rename) if key in SECTIONS else value for key, value in raw.items()}
    for key in ("grid", "tune"):
        if key in raw:
            copy[key] = _keyed(raw[key], rename)
    return copy


def _keyed(value: Any, rename: Rename) -> Any:
    """What holds dotted keys at any depth, as a grid and a search do."""
    if isinstance(value, dict):
        return {
            _key(key, rename): _walk(inner, _parts(key), rename) if _parts(key) else _keyed(inner, rename)
            for key, inner in value.items()
        }
    return [_keyed(inner, rename) for inner in value] if isinstance(value, (list, tuple)) else value


def _parts(key: Any) -> tuple[str, ...]:
    """The parts of a dotted key; none, if it is a word of the grid's or the search's own."""
    parts = tuple(str(key).split("."))
    return parts if parts[0] in SECTIONS else ()


def _key(key: Any, rename: Rename) -> Any:
    """A dotted key may name the model whose recipe it sets."""
    if not str(key).startswith(BY_MODEL):
        return key
    model, dot, fields = str(key).removeprefix(BY_MODEL).rpartition(".")
    return f"{BY_MODEL}{rename('model', model)}{dot}{fields}"


def _walk(value: Any, at: tuple[str, ...], rename: Rename) -> Any:
    """What stands at these keys. A range of a search (`choice: […]`, `when: {…}`) stands where its values do."""
    if isinstance(value, dict):
        if at == ("train", "by_model"):
            return {rename("model", str(name)): inner for name, inner in value.items()}
        if "when" in value:
            return {k: _keyed(v, rename) if k == "when" else _walk(v, at, rename) for k, v in value.items()}
        return {k: _walk(v, at if k == "choice" else (*at, str(k)), rename) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_walk(inner, at, rename) for inner in value]
    if not isinstance(value, str) or at[0] == "train":
        return value
    if at[0] == "task":
        return rename("dataset", value) if at[-1] in SOURCES else value
    return rename("model", value)


def _read(path: Path) -> dict[Pin, str]:
    """The pins of a lock file; a refusal of one that was not written by `Lock.write`."""
    if not path.is_file():
        return {}
    found = read_yaml(path)
    pins = dict(_pins(found))
    if len(pins) != sum(len(names) if isinstance(names, dict) else 1 for names in found.values()):
        raise ConfigError(f"{path}: it holds what is no commit of 40 digits; mend it, or delete it and `w2s pin` anew")
    return pins


def _pins(found: Mapping[str, Any]) -> Iterator[tuple[Pin, str]]:
    for what in get_args(What):
        names = found.get(f"{what}s")
        for name, commit in names.items() if isinstance(names, dict) else ():
            if (pin := Pin.of(what, f"hub:{name}")) is not None and COMMIT.fullmatch(str(commit)):
                yield pin, str(commit)
