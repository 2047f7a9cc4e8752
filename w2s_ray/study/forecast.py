"""What the steps that a study would run may take: what like ones took in the same store, scaled by rows x epochs.

Like: the same step of the same model with the same recipe, but for what changes no time (a rate, a seed), asking for
the same devices. Of a step without a like one nothing is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from w2s_ray.core.resources import Resources
from w2s_ray.engine.fingerprint import Key, digest, slugify
from w2s_ray.engine.handle import Submission
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store

# Fields of a recipe that change what comes out of a fit and not how long a row of it takes.
TIMELESS = (
    "seed", "epochs", "lr", "schedule", "warmup", "betas", "eps", "weight_decay", "clip", "head_init", "order", "l2",
)  # fmt: skip
ASKED = ("cpus", "gpus", "accelerator", "workers")  # of resources: what a step computes on
ONCE = ("load", "save")  # phases of a fit that take the same for any number of rows
MOST_READ, MOST_FETCHED = 5_000, 300  # records of a step: from a disk, and from an object store


@dataclass(frozen=True)
class Forecast:
    """Of the steps that would run and hold a model."""

    steps: int
    known: int  # those with like ones in the store
    records: int  # that this rests on
    seconds: Mapping[str, float]  # of devices, by the one that a step computes on: CPU or GPU


@dataclass(frozen=True)
class _Pace:
    once_s: float
    per_row_s: float
    records: int


def forecast(store: Store, submitted: Iterable[Submission]) -> Forecast:
    """Of what is not in the store; what rides on a fit takes part of the fit's time."""
    asked = list(submitted)
    known = {one.key.full: one for one in asked}
    missing = [one for one in asked if not one.there and not one.rides and "model" in one.params]
    paces = {step: _paces(store, step, missing) for step in {one.key.step for one in missing}}
    seconds: dict[str, float] = defaultdict(float)
    used: dict[str, int] = {}
    count = 0
    for one in missing:
        likeness = _likeness(one.params, one.resources.as_dict())
        pace, rows = paces[one.key.step].get(likeness), _rows(store, one.params, one.inputs, known)
        if pace is None or rows is None:
            continue
        device, share = _device(one.resources)
        seconds[device] += share * (pace.once_s + pace.per_row_s * rows)
        used[f"{one.key.step} {likeness}"] = pace.records
        count += 1
    return Forecast(len(missing), count, sum(used.values()), dict(seconds))


def _paces(store: Store, step: str, missing: Sequence[Submission]) -> dict[str, _Pace]:
    """How fast like steps went, by their likeness."""
    wanted = {_likeness(one.params, one.resources.as_dict()) for one in missing if one.key.step == step}
    models = {slugify(str(one.params["model"]).partition("@")[0]) for one in missing if one.key.step == step}
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in _records(store, step, models):
        likeness = _likeness(record.params, record.resources)
        rows = _rows(store, record.params, record.inputs, {}) if likeness in wanted and not record.made_by else None
        if rows:
            phases = record.value.get("facts", {}).get("seconds", {})
            once = min(record.seconds, sum(float(phases.get(phase, 0.0)) for phase in ONCE))
            found[likeness].append((once, (record.seconds - once) / rows))
    return {
        likeness: _Pace(median(once for once, _ in each), median(rate for _, rate in each), len(each))
        for likeness, each in found.items()
    }


def _records(store: Store, step: str, models: Iterable[str]) -> Iterator[Record]:
    """Finished ones of a step whose names begin with one of these models'."""
    paths = sorted({path for model in models for path in store.fs.glob(f"{store.root}/{step}/{model}*/record.json")})
    for path in paths[: MOST_READ if store.local else MOST_FETCHED]:
        try:
            yield Record.loads(store.read("/".join(path.split("/")[-3:])) or b"")
        except ValueError:
            continue  # damaged: it tells nothing


def _likeness(params: Mapping[str, Any], resources: Mapping[str, Any]) -> str:
    recipe = {name: value for name, value in dict(params.get("recipe", {})).items() if name not in TIMELESS}
    return digest([params.get("model"), recipe, [_plain(resources.get(name)) for name in ASKED]])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _rows(
    store: Store, params: Mapping[str, Any], inputs: Mapping[str, Any], known: Mapping[str, Submission]
) -> float | None:
    """Rows x epochs of a step; None where its rows are not there yet."""
    named = inputs.get("data", inputs.get("features"))
    counts = [_count(store, full, known) for full in ([named] if isinstance(named, str) else named or ())]
    if not counts or None in counts:
        return None
    return float(sum(count for count in counts if count is not None)) * int(params.get("recipe", {}).get("epochs", 1))


def _count(store: Store, full: str, known: Mapping[str, Submission]) -> int | None:
    """Rows of a data set, or of the features of one."""
    record = store.record(Key.parse(full))
    if record is not None:
        rows = record.value.get("rows")
        return rows if isinstance(rows, int) else None
    made_of = known[full].inputs.get("data") if full in known else None
    return _count(store, made_of, known) if isinstance(made_of, str) else None


def _device(resources: Resources) -> tuple[str, float]:
    """The device that a step computes on, and how many of it."""
    name, each = ("GPU", resources.num_gpus) if resources.num_gpus else ("CPU", resources.cpus)
    return name, each * resources.fewest
