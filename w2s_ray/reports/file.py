"""results.json, found by a study's name and read."""

from __future__ import annotations

import json
from pathlib import Path

from w2s_ray.core.errors import InputError
from w2s_ray.reports.schema import Results, parse

RESULTS = "results.json"


def folder_of(name: str, runs: Path) -> Path:
    """Of a study in runs/, or the folder that is named."""
    return Path(name) if (Path(name) / RESULTS).is_file() else runs / name


def read_results(name: str, runs: Path) -> Results:
    """Of a study in runs/, or in the folder that is named."""
    path = folder_of(name, runs) / RESULTS
    if not path.is_file():
        raise InputError(f"{path}: no such file; `w2s status` lists the studies that have run")
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise InputError(
            f"{path} is not what `w2s run` wrote ({type(error).__name__}); run the study again, which computes nothing"
            " twice"
        ) from None
