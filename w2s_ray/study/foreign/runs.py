"""What the readers of other codes hand on: students with their floors and ceilings, and how these were made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from w2s_ray.core.labels import LabelSet

Source = Literal["openai/weak-to-strong", "EleutherAI/w2s"]
Metric = Literal["accuracy", "auroc"]


@dataclass(frozen=True)
class Arm:
    """One model on the test rows, by what is known of it."""

    accuracy: float | None
    auroc: float | None = None
    num_test: int | None = None


@dataclass(frozen=True)
class Run:
    """A student. `settings` are the choices that it was made with; those that differ within a row of the table become
    part of the method's name."""

    method: str
    task: str
    weak: str
    strong: str
    seed: int | None
    student: Arm
    floor: Arm | None
    ceiling: Arm | None
    missing: str  # why there is no floor or no ceiling
    folder: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> tuple[str, str, str, str]:
        return (self.method, self.task, self.weak, self.strong)


@dataclass(frozen=True)
class Labels:
    """What a teacher said of the pool, and the gold of these rows."""

    weak: str
    task: str
    seed: int | None
    labels: LabelSet
    gold: LabelSet


@dataclass(frozen=True)
class Found:
    """All that one code's folder holds."""

    source: Source
    metric: Metric
    ceiling_rows: str | None
    runs: Sequence[Run]
    labels: Sequence[Labels]
    conventions: Mapping[str, str]


def varying(runs: Sequence[Run]) -> list[str]:
    """Settings in which runs of one row differ, so that they are no repetitions of each other."""
    rows: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        rows[run.row].append(run)
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [name for name in names if any(len({_value(run, name) for run in row}) > 1 for row in rows.values())]


def shared(runs: Sequence[Run]) -> dict[str, str]:
    """Settings that all runs have in common, as words."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: {_value(run, name) for run in runs} for name in names}
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}


def named(run: Run, names: Sequence[str]) -> str:
    """The method, with the settings that tell its rows apart."""
    return ", ".join([run.method, *(f"{name}={_value(run, name)}" for name in names)])


def _value(run: Run, name: str) -> str:
    value = run.settings.get(name)
    return "not recorded" if value is None else str(value)
