"""`steps.lock`: the hash of each step's code when its version was last confirmed.

A step's hash covers the module of its function and every module of the package that this one imports, directly or not,
from the packages that compute (core, config, ops, backends, blocks, data, eval, world, study), also by a name in a
string; of a folder of plug-ins, which are found by name, all modules. Comments, docstrings and layout do not count.
When a hash has moved, either the meaning of the result changed, and `Step.version` must be raised, or it did not; both
are confirmed by `python -m w2s_ray.engine.lock --write`. The tests fail until that is done.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from w2s_ray.core.plugins import GROUPS
from w2s_ray.engine.step import Step

PACKAGE = Path(__file__).parents[1]
LOCK = PACKAGE / "steps.lock"
ROOMS = ("core", "config", "ops", "backends", "blocks", "data", "eval", "world", "study")
PLUGINS = tuple(GROUPS.values())
STEP_ROOMS = ("w2s_ray.ops", "w2s_ray.eval", "w2s_ray.world", "w2s_ray.study")

_PLACE = re.compile(r"w2s_ray(\.\w+)+:\w+")  # "package.module:name"

Locked = dict[str, dict[str, int | str]]


def all_steps() -> list[Step]:
    """Every step of the package."""
    modules = [
        importlib.import_module(f"{room}.{m.name}")
        for room in STEP_ROOMS
        for m in pkgutil.iter_modules(importlib.import_module(room).__path__)
    ]
    found = {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Step)}
    return sorted(found.values(), key=lambda step: step.name)


def current() -> Locked:
    """name -> version and hash. A step that rides on others has no code of its own."""
    return {
        s.name: {"version": s.version, "source": source_hash(s.entry.partition(":")[0]) if s.entry else ""}
        for s in all_steps()
    }


def source_hash(module: str) -> str:
    """Hash of a module and of what it imports from the computing rooms."""
    digest = hashlib.sha256()
    for name in sorted(_reached(module)):
        digest.update(f"{name}\n{_normal_source(name)}\n".encode())
    return digest.hexdigest()[:16]


def drift(locked: Locked, now: Locked) -> list[str]:
    """A sentence for each difference between the lock and the code."""
    gone = [f"{name} is in the lock and not in the code" for name in locked if name not in now]
    new = [f"{name} is not in the lock" for name in now if name not in locked]
    moved = [
        (
            f"{name}: its code changed and its version is still {entry['version']}"
            if entry["version"] == locked[name]["version"]
            else f"{name}: its version is {entry['version']}, {locked[name]['version']} in the lock"
        )
        for name, entry in now.items()
        if name in locked and entry != locked[name]
    ]
    return gone + new + moved


def _reached(module: str) -> set[str]:
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _imports(name)
    return reached


@cache
def _imports(module: str) -> tuple[str, ...]:
    names = {name for name in _imported(ast.parse(_path(module).read_text(encoding="utf-8"))) if _counts(name)}
    for folder in PLUGINS:
        if any(name == folder or name.startswith(f"{folder}.") for name in names):
            names |= {f"{folder}.{m.name}" for m in pkgutil.iter_modules([str(_path(folder).parent)])}
    return tuple(sorted(names))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # `from package import module`
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _PLACE.fullmatch(node.value):
            yield node.value.partition(":")[0]  # imported by name when it is needed


def _counts(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "w2s_ray" and len(parts) > 2 and parts[1] in ROOMS and _path(name).is_file()


def _path(module: str) -> Path:
    path = PACKAGE.parent / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _normal_source(module: str) -> str:
    """The syntax tree without docstrings, so that words may change."""
    tree = ast.parse(_path(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)


def main() -> int:
    """Check the lock, or write it."""
    parser = argparse.ArgumentParser("python -m w2s_ray.engine.lock", description="Check steps.lock against the code.")
    accept = "accept the code as it is: after raising Step.version where the meaning of a result changed"
    parser.add_argument("--write", action="store_true", help=accept)
    now = current()
    if parser.parse_args().write:
        LOCK.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    faults = drift(json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}, now)
    for fault in faults:
        sys.stderr.write(f"steps.lock: {fault}\n")
    if faults:
        sys.stderr.write(
            "If results mean something else now, raise the step's version; then, in either case: python -m"
            " w2s_ray.engine.lock --write\n"
        )
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
