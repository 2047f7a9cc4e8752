"""What a study's results cost: the time of devices by method and role, from the records; what the drivers lost and left
idle, from their ledgers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from w2s_ray.engine.context import Context
from w2s_ray.engine.handle import Submission
from w2s_ray.engine.record import Record
from w2s_ray.eval.score import cell_names
from w2s_ray.study.run import CellRun

LISTED = 200  # losses in results.json; the ledgers in the store have more
HOLD_MODEL = ("model", "base", "features")  # inputs whose role is that of what is made from them


def costs(context: Context, runs: Sequence[CellRun]) -> dict[str, Any]:
    """For results.json; of the cells that have a score."""
    graph = Graph(context)
    rows: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    counted: dict[str, set[str]] = defaultdict(set)
    for run, names in zip(runs, cell_names([run.cell for run in runs]), strict=True):
        if run.score is None:
            continue
        method = names["method"]
        for key in graph.needed(run.score.key.full) - counted[method]:
            counted[method].add(key)
            row = rows[method, run.models.get(graph.model(key), "other")]
            time = graph.time(key)
            row["steps"] += bool(time)  # what comes beside another step's result is none of its own
            for device, seconds in time.items():
                row[device] += seconds
    return {
        "rows": [{"method": method, "role": role, **_told(row)} for (method, role), row in sorted(rows.items())],
        "total": _told(_sum(graph.time(key) for key in set().union(*counted.values()))),
        **_of_drivers(context),
    }


class Graph:
    """The steps of this run, by their keys."""

    def __init__(self, context: Context) -> None:
        self._store = context.store
        self._steps: dict[str, Submission] = {step.key.full: step for step in context.submitted()}
        self._needed: dict[str, frozenset[str]] = {}
        self._times: dict[str, dict[str, float]] = {}

    def needed(self, key: str) -> frozenset[str]:
        """A step and all that it is made from."""
        if key not in self._needed:
            found = {key}.union(*(self.needed(one) for one in self._inputs(key)))
            self._needed[key] = frozenset(found)
        return self._needed[key]

    def model(self, key: str) -> str:
        """The identity of the model that a step is about; empty where it is about none."""
        step = self._steps.get(key)
        if step is None:
            return ""
        if isinstance(step.params.get("model"), str):
            return str(step.params["model"])
        held = (step.inputs[name] for name in HOLD_MODEL if isinstance(step.inputs.get(name), str))
        return next((found for found in map(self.model, held) if found), "")

    def time(self, key: str) -> dict[str, float]:
        """Seconds of devices; none of what another step made beside its own result."""
        if key not in self._times:
            record = self._record(key)
            self._times[key] = device_seconds(record) if record is not None and not record.made_by else {}
        return self._times[key]

    def _inputs(self, key: str) -> Iterator[str]:
        """And the step that published it beside its own result."""
        for value in self._steps[key].inputs.values() if key in self._steps else ():
            yield from (value,) if isinstance(value, str) else value
        if (record := self._record(key)) is not None and record.made_by:
            yield record.made_by

    def _record(self, key: str) -> Record | None:
        """This run has read it."""
        return self._store.record(self._steps[key].key) if key in self._steps else None


def device_seconds(record: Record) -> dict[str, float]:
    """Of one record: its processes' CPUs and GPUs, as long as it took."""
    workers = record.value.get("facts", {}).get("workers") or record.resources.get("workers", 1)
    processes = workers if isinstance(workers, int) else workers[0]
    return {
        device: record.seconds * processes * float(record.resources.get(name, 0.0))
        for device, name in (("CPU", "cpus"), ("GPU", "gpus"))
    }


def _of_drivers(context: Context) -> dict[str, Any]:
    found = context.ledgers()
    losses = [{"driver": ledger.driver[:8], **vars(loss)} for ledger in found for loss in ledger.losses]
    losses.sort(key=lambda loss: str(loss["at"]))
    killed = [ledger for ledger in found if not ledger.ended and not context.leases.works(ledger.driver)]
    causes: dict[str, list[float]] = defaultdict(list)
    for loss in losses:
        causes[loss["cause"]].append(loss["seconds"])
    return {
        "drivers": len(found),
        "there": _told(_sum(ledger.there for ledger in found)),
        "busy": _told(_sum(ledger.busy for ledger in found)),
        "lost": _told(_sum(ledger.lost for ledger in found)),
        "killed_drivers": [
            {"driver": ledger.driver[:8], "began": ledger.began, "running": list(ledger.running)} for ledger in killed
        ],
        "causes": [
            {"cause": cause, "times": len(each), "seconds": sum(each)} for cause, each in sorted(causes.items())
        ],
        "more_losses": sum(ledger.more_losses for ledger in found),
        "losses": losses[-LISTED:],
    }


def _sum(amounts: Any) -> Mapping[str, float]:
    total: dict[str, float] = defaultdict(float)
    for each in amounts:
        for name, amount in each.items():
            total[name] += amount
    return total


def _told(amounts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(amount, 3) for name, amount in ({"CPU": 0.0, "GPU": 0.0} | dict(amounts)).items()}
