"""What of a study travels to a cluster: the tracked files of its repository, its YAML, and the files that it names.
Never `.git`, environments, stores or runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.core.errors import InputError
from w2s_ray.study.pins import extended, lock_of

LIMIT_MB = 90.0  # Ray refuses packages over about 100 MiB
LARGEST = 10
PREFIXES = ("untrained:", "labels:", "file:", "path:")  # of names that end in a place
MB = 2.0**20


@dataclass(frozen=True)
class Package:
    """The files of a study, relative to `root`, and what it names that lies elsewhere."""

    root: Path
    files: tuple[Path, ...]
    elsewhere: tuple[str, ...]

    @property
    def mb(self) -> float:
        return sum((self.root / file).stat().st_size for file in self.files) / MB

    def copy(self, folder: Path) -> None:
        """Write the files below a folder, links as what they lead to."""
        for file in self.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / file, folder / file)


def package_of(yaml: Path, study: Study) -> Package:
    """The package of a study that was read from this YAML."""
    yaml = yaml.resolve()
    root = _repository(yaml.parent) or _common(yaml, study)
    inside, elsewhere = [], []
    for place in places(study.raw):
        path = (study.base / Path(place).expanduser()).resolve()
        if path.exists() and path.is_relative_to(root):
            inside += [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        elif path.exists() and place.startswith(("/", "~", "..")):
            elsewhere.append(str(path))
    parents = [yaml, *_extended(yaml)]
    parents += [lock for lock in map(lock_of, parents) if lock.is_file()]
    named = {path.relative_to(root) for path in (*parents, *inside) if path.is_relative_to(root)}
    package = Package(root, tuple(sorted(named | set(_tracked(root)))), tuple(sorted(set(elsewhere))))
    _check_size(package)
    return package


def places(value: Any) -> Iterator[str]:
    """Texts of a config that may name a file: all of them, without the prefixes of names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(str(name))
            yield from places(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from places(inner)
    elif isinstance(value, str) and "\n" not in value and "\0" not in value:
        while (prefix := next((one for one in PREFIXES if value.startswith(one)), None)) is not None:
            value = value.removeprefix(prefix)
        name = value.partition("#")[0]
        if 0 < len(name) < 1024 and ("/" in name or "." in name.strip(".")):
            yield name


def _repository(folder: Path) -> Path | None:
    """The work tree that a folder lies in."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--show-toplevel"], cwd=folder, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(found.stdout.strip()).resolve()


def _tracked(root: Path) -> list[Path]:
    """Files that git tracks and that are there; none outside a repository."""
    if _repository(root) != root:
        return []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, timeout=120, check=True)
    names = [Path(name) for name in listed.stdout.decode(errors="surrogateescape").split("\0") if name]
    return [name for name in names if (root / name).is_file() and (root / name).resolve().is_relative_to(root)]


def _common(yaml: Path, study: Study) -> Path:
    """Outside a repository: the folder that holds the YAML and the files that it names nearby (`../rows.jsonl`)."""
    root = yaml.parent
    for place in places(study.raw):
        if place.startswith("../") and (study.base / place).exists():
            root = min(root, (study.base / place).resolve().parent, key=lambda path: len(path.parts))
    return root


def _extended(yaml: Path) -> Iterable[Path]:
    parent = extended(yaml)
    return [] if parent is None else [parent.resolve()]


def _check_size(package: Package) -> None:
    if package.mb <= LIMIT_MB:
        return
    sizes = sorted(((package.root / file).stat().st_size / MB, str(file)) for file in package.files)[-LARGEST:]
    largest = ", ".join(f"{name} ({size:.1f} MB)" for size, name in reversed(sizes))
    raise InputError(
        f"the study's package has {package.mb:.0f} MB and may have {LIMIT_MB:.0f}; the largest files are {largest}: put"
        " data and models on shared storage and name them by URL or path, or do not track them in git"
    )
