"""What a report tells beside its numbers: rows, recipes, loss curves, and what makes a number mean less than it seems
to."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import W2SError
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import parse_progress
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.folders import is_url
from w2s_ray.engine.store import Store
from w2s_ray.eval.score import cell_names
from w2s_ray.eval.summary import ARMS
from w2s_ray.ops.models import num_parameters
from w2s_ray.study.run import CellRun
from w2s_ray.study.setting import ROLES

MOST_CURVES, MOST_POINTS, AT_ONCE = 200, 60, 8
LOG = "log.jsonl"
TOLD = ("adapt", "lr", "epochs", "batch", "loss")  # of a recipe, in any case
ERRORS = 2.0  # standard errors within which a teacher is at chance
EXPLODED = 3.0  # times the first loss
SEEDS = 5  # named one by one


def about(
    study: Study, context: Context, runs: Sequence[CellRun], tables: Mapping[str, Any], folder: Path | None
) -> dict[str, Any]:
    """For results.json."""
    named = list(zip(runs, cell_names([run.cell for run in runs]), strict=True))
    curves, more = _curves(context, named)
    remarks = [*_of_rows(named), *_of_answers(tables, named), *_of_losses(curves)]
    return {
        "tasks": _tasks(named),
        "fitted": _fitted(study),
        "curves": curves,
        "more_curves": more,
        "remarks": remarks,
        "store": _place(context.store, folder),
    }


Named = Sequence[tuple[CellRun, Mapping[str, Any]]]


def _tasks(named: Named) -> list[dict[str, Any]]:
    """Of the cells whose rows could be split."""
    rows = {names["task"]: run.rows for run, names in named if run.rows}
    return [
        {
            "task": task,
            "splits": {
                split: {
                    "rows": size,
                    "shares": facts["class_shares"].get(split, {}),
                    "cut": facts["truncated"].get(split, 0),
                }
                for split, size in facts["sizes"].items()
            },
        }
        for task, facts in rows.items()
    ]


def _fitted(study: Study) -> list[dict[str, Any]]:
    """Each once; cells of one point of the grid share their config."""
    found: dict[str, dict[str, Any]] = {}
    default, parameters = Recipe().model_dump(mode="json"), cache(partial(_parameters, base=study.base))
    for config in {id(cell.config): cell.config for cell in study.cells}.values():
        for role in ROLES:
            model, recipe = getattr(config.models, role), config.recipe(role).model_dump(mode="json")
            changed = {name: value for name, value in recipe.items() if name in TOLD or value != default[name]}
            row = {"role": role, "model": model, "parameters": parameters(model), "recipe": changed}
            found.setdefault(json.dumps(row, sort_keys=True), row)
    return list(found.values())


def _parameters(model: str, base: Path) -> int | None:
    try:
        return num_parameters(model, base) or None
    except (W2SError, OSError):
        return None  # its folder may be on the cluster alone


def _place(store: Store, folder: Path | None) -> str:
    """Of the store: relative to the run's folder, so that both may be moved together; in full where that is a URL."""
    if not store.local or is_url(store.url):
        return store.url
    return os.path.relpath(store.root, folder.resolve()) if folder is not None else str(Path(store.root).resolve())


# --- loss curves ---


def _curves(context: Context, named: Named) -> tuple[list[dict[str, Any]], int]:
    """Of the fits that cells rest on, each once; those of cells without a gap first, for they are looked at first."""
    fits: dict[str, dict[str, Any]] = {}
    handles = {str(step.key): step.key for step in context.submitted() if step.key.step == "train"}
    for run, names in sorted(named, key=lambda pair: _status(pair[0]) == "ok"):
        for role in ARMS:
            key = run.keys.get(role, "")
            if key in handles and run.score is not None:
                model = names["weak" if role == "floor" else "strong"]
                whose = {"role": role, "model": model, **{name: names[name] for name in ("method", "task", "seed")}}
                fits.setdefault(key, {"key": key, **whose})
    shown = list(fits.values())[:MOST_CURVES]
    with ThreadPoolExecutor(AT_ONCE) as pool:  # a remote store takes its time
        logs = pool.map(lambda fit: _log(context.store, handles[fit["key"]]), shown)
        curves = [fit | _thinned(log) for fit, log in zip(shown, logs, strict=True)]
    return [curve for curve in curves if curve["steps"]], len(fits) - len(shown)


def _status(run: CellRun) -> str:
    return str(run.score.value["status"]) if run.score is not None else "failed"


def _log(store: Store, fit: Key) -> list[tuple[int, float]]:
    """Its logged steps and losses; a probe has none. Read alone: a fit's other files may be large, and one that is
    damaged or cannot be fetched costs a picture, not a result."""
    try:
        record = store.record(fit)
        written = store.read(f"{fit.path}/{record.attempt}/{LOG}") if record is not None else None
    except Exception:  # noqa: BLE001  (each file system has errors of its own, and all results are there)
        return []
    entries = [parse_progress(line) for line in (written or b"").splitlines()]
    points = [(entry["step"], entry["loss"]) for entry in entries if {"step", "loss"} <= entry.keys()]
    return [(int(step), loss) for step, loss in points if math.isfinite(step + loss)]


def _thinned(points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """At most so many points, the last one among them."""
    stride = -(-len(points) // MOST_POINTS) or 1
    kept = points[(len(points) - 1) % stride :: stride]
    return {"steps": [step for step, _ in kept], "loss": [float(f"{loss:.5g}") for _, loss in kept]}


# --- remarks ---


def _of_rows(named: Named) -> Iterator[str]:
    """What the rows of a task lack."""
    rows = {names["task"]: run.rows for run, names in named if run.rows}
    for task, facts in rows.items():
        for split, counts in facts["short"].items():
            yield f"{task}: {counts['asked']:,} {split} rows were asked for, and there are {counts['got']:,}."
        for split, cut in facts["truncated"].items():
            if cut:
                yield f"{task}: {cut:,} of {facts['sizes'][split]:,} {split} rows were cut at their greatest length."
        for split, shares in facts["class_shares"].items():
            for name, share in shares.items():
                count = round(share * facts["sizes"][split])
                if count < 2 and split in ("labelled", "pool", "test"):
                    yield f"{task}: class {name!r} has {count} of {facts['sizes'][split]:,} {split} rows."


def _of_answers(tables: Mapping[str, Any], named: Named) -> Iterator[str]:
    """Arms that say the same of every row, and teachers at chance."""
    yield from _constant(tables.get("said", ()))
    chance: dict[str, list[float]] = defaultdict(list)
    for run, names in named:
        shares = (run.rows or {}).get("class_shares", {}).get("test", {})
        found = run.score.value if run.score is not None else {}
        floor, most = (found.get("metrics", {}).get("floor") or {}).get("accuracy"), max(shares.values(), default=0.0)
        if floor is None or not most:
            continue
        if floor <= most + ERRORS * math.sqrt(most * (1 - most) / max(found["num_test"], 1)):
            chance[f"{names['task']}, {names['weak']}"].append(floor)
    for where, floors in chance.items():
        yield (
            f"{where}: the weak teacher is no better than the most frequent class (right on {100 * fmean(floors):.1f} %"
            " of the test rows)."
        )


def _constant(groups: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A teacher and a ceiling once for all methods; of the labels, what their teacher does not explain."""
    words = {"floor": "the weak teacher", "student": "the student", "ceiling": "the ceiling", "labels": "the labels"}
    found: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    for group in groups:
        teachers = group["arms"].get("floor", {}).get("constant", ())
        for arm, said in group["arms"].items():
            seeds = [seed for seed in said["constant"] if arm != "labels" or seed not in teachers]
            if seeds:
                found[_whose(arm, group), arm] |= dict.fromkeys(seeds)
    for (where, arm), all_seeds in found.items():
        says, rows = ("say", "pool") if arm == "labels" else ("says", "test")
        yield f"{where}: {words[arm]} {says} the same of every {rows} row ({_seeds([*all_seeds])})."


def _whose(arm: str, group: Mapping[str, Any]) -> str:
    if arm in ("floor", "ceiling"):
        return f"{group['task']}, {group['weak' if arm == 'floor' else 'strong']}"
    return f"{group['method']}, {group['task']}, {group['weak']} → {group['strong']}"


def _of_losses(curves: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for curve in curves:
        first, last = curve["loss"][0], curve["loss"][-1]
        if last > max(EXPLODED * first, 1.0):
            yield (
                f"{curve['method']}, {curve['task']}, {curve['model']}, seed {curve['seed']}: the loss of the"
                f" {curve['role']} grew from {first:.3g} to {last:.3g}; a smaller `lr` is a remedy."
            )


def _seeds(seeds: Sequence[int]) -> str:
    shown = ", ".join(map(str, seeds[:SEEDS])) + (" …" if len(seeds) > SEEDS else "")
    return f"seed {shown}" if len(seeds) == 1 else f"seeds {shown}"
