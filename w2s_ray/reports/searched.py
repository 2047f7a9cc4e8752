"""A search, as its report sees it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from w2s_ray.config.search_spec import Point, SearchSpec, SelectOn

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Searched:
    """A search as Optuna's study remembers it."""

    spec: SearchSpec
    key: str
    study: optuna.Study
    wanted: int
    select_on: SelectOn

    @cached_property
    def trials(self) -> list[FrozenTrial]:
        """Those that were begun."""
        return [trial for trial in self.study.get_trials() if trial.state.name != "WAITING"]

    @property
    def complete(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state.name == "COMPLETE"]

    @property
    def running(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if not trial.state.is_finished()]

    @cached_property
    def front(self) -> list[FrozenTrial]:
        """The best trial; with several objectives those that no other is better than in all, the best by the first
        objective first. Of equals the first tried."""
        if len(self.spec.objective) == 1:
            return [min(self.complete, key=lambda trial: (-self.gain(trial, 0), trial.number))]
        objectives = range(len(self.spec.objective))
        gains = {trial.number: tuple(self.gain(trial, n) for n in objectives) for trial in self.complete}
        front = [
            trial
            for trial in self.complete
            if not any(
                other != gains[trial.number] and all(a >= b for a, b in zip(other, gains[trial.number], strict=True))
                for other in gains.values()
            )
        ]
        return sorted(front, key=lambda trial: (-self.gain(trial, 0), trial.number))

    def point(self, trial: FrozenTrial) -> Point:
        """In the space's order, which is the order that values must be set in."""
        named = self.spec.named(trial.params)
        return {key: named[key] for key in self.spec.space if key in named}

    @property
    def recipes(self) -> dict[int, Point]:
        return {trial.number: self.point(trial) for trial in self.front}

    @property
    def states(self) -> dict[str, int]:
        return dict(sorted(Counter(trial.state.name.lower() for trial in self.trials).items()))

    @property
    def value(self) -> dict[str, Any]:
        """The small result."""
        best = self.front[0]
        return {
            "best": self.point(best),
            "trial": best.number,
            "values": list(best.values),
            "states": self.states,
            "made_by": {name: self.study.user_attrs[name] for name in ("optuna", "sampler", "select_on")},
        }

    def gain(self, trial: FrozenTrial, objective: int) -> float:
        value: float = trial.values[objective]
        return value if self.spec.objective[objective].larger_is_better else -value


def trial_rows(found: Searched) -> list[dict[str, Any]]:
    """A row a trial; a field that a trial did not draw is empty."""
    front = {trial.number for trial in found.front}
    rows = []
    for trial in found.trials:
        point = found.point(trial)
        seconds = (
            (trial.datetime_complete - trial.datetime_start).total_seconds()
            if trial.datetime_complete and trial.datetime_start
            else None
        )
        values = trial.values or (
            [trial.intermediate_values[max(trial.intermediate_values)]]
            if trial.intermediate_values
            else [None] * len(found.spec.objective)
        )
        rows.append(
            {"trial": trial.number, "state": trial.state.name.lower(), "best": trial.number in front}
            | {objective.label: value for objective, value in zip(found.spec.objective, values, strict=True)}
            | {key: cell(point.get(key)) for key in found.spec.space}
            | {
                "seconds": seconds,
                "select_on": found.select_on,
                "error": trial.user_attrs.get("error", ""),
                "keys": json.dumps(trial.user_attrs.get("keys", [])),
            }
        )
    return rows


def cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)
