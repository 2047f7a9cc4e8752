"""What a shell offers when Tab is pressed. It must come at once and never with a message: names and small files alone
are looked at, nothing is imported for it, and what cannot be read offers nothing."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterable, Iterator
from glob import escape, iglob
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any

import typer

MOST = 200  # names
LARGEST = 4 * 2**20  # bytes of a file that is read
LATEST = 5  # runs whose cells are looked at
SORTS = ("student-wrong", "copied", "corrected", "own", "teacher-wrong", "disagree", "all")  # of `w2s errors --where`


def studies(incomplete: str) -> list[str]:
    """YAML files, also one folder further down."""
    start = escape(incomplete)
    found = (path for end in ("*.yaml", "*.yml", "*/*.yaml") for path in iglob(f"{start}{end}"))
    return sorted(dict.fromkeys(islice(found, MOST)))


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Studies that have results."""
    return _begun(sorted(path.parent.name for path in _results(ctx)), incomplete)


def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys in the latest results."""
    return _begun((key for cell in _cells(ctx) for key in cell["keys"].values()), incomplete)


def methods(incomplete: str) -> list[str]:
    """Each method is a file of its name; those of other packages have entry points."""
    built_in = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parents[1] / "methods")]))
    return _begun([*built_in, *(entry.name for entry in entry_points(group="w2s_ray.methods"))], incomplete)


def sorts(incomplete: str) -> list[str]:
    """Of rows."""
    return _begun(SORTS, incomplete)


# A shell completes a line that does not parse yet, so that which study it names is not known.
def methods_of_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    return _begun((cell.get("method") for cell in _cells(ctx)), incomplete)


def models_of_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    return _begun((cell.get(role) for cell in _cells(ctx) for role in ("weak", "strong")), incomplete)


def seeds_of_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    return _begun((cell.get("seed") for cell in _cells(ctx)), incomplete)


def _begun(names: Iterable[object], incomplete: str) -> list[str]:
    """Those that begin so, each once."""
    return list(dict.fromkeys(name for name in map(str, names) if name.startswith(incomplete)))[:MOST]


def _results(ctx: typer.Context) -> list[Path]:
    """Of all runs, the latest last."""
    folder = ctx.params.get("runs") or "runs"
    found = Path(folder).glob("*/results.json") if "://" not in folder else ()
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _cells(ctx: typer.Context) -> Iterator[dict[str, Any]]:
    """Of the latest runs."""
    for path in reversed(_results(ctx)[-LATEST:]):
        if path.stat().st_size > LARGEST:
            continue
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            yield from (cell for cell in cells if isinstance(cell, dict) and isinstance(cell.get("keys"), dict))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
