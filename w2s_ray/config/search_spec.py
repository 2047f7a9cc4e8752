"""`SearchSpec`: the `tune:` of a study. Which fields vary, over what, what is optimised, and how the next point is
chosen.

A range draws from anything that suggests values as an Optuna trial does, so that this package needs no Optuna.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field, field_validator, model_validator

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.identity import NEVER
from w2s_ray.core.plugins import closest

Point = dict[str, Any]  # dotted key -> value
Metric = Literal["accuracy", "auroc", "log_loss", "ece", "seconds"]
SelectOn = Literal["heldout", "weak_labels", "gold"]

SMALLER_IS_BETTER = ("log_loss", "ece", "seconds")

Whole = int  # a range has a field of that name


class Suggests(Protocol):
    """An Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int) -> int: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


class Range(Frozen):
    """What one field is drawn from: one of `uniform`, `log`, `int` and `choice`."""

    uniform: tuple[float, float] | None = Field(None, description="[lower, upper]")
    log: tuple[float, float] | None = Field(None, description="[lower, upper], evenly in the logarithm")
    int: tuple[Whole, Whole] | None = Field(None, description="[lower, upper], whole numbers, both ends included")
    choice: tuple[Any, ...] | None = Field(None, min_length=1, max_length=1000, description="one of these")
    when: dict[str, Any] = Field(
        default_factory=dict,
        description="drawn only where other fields of the space, which stand above, have this value or one of these",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        given = [name for name in ("uniform", "log", "int", "choice") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"names {' and '.join(given) or 'no range'}; give one of uniform: [a, b], log: [a, b], int: [a, b],"
                " choice: [a, b, …]"
            )
        for name in given[:1]:
            ends = getattr(self, name)
            if name != "choice" and ends[0] > ends[1]:
                raise ValueError(f"{name}: {list(ends)} has a lower end above its upper end; swap them")
            if name == "log" and ends[0] <= 0:
                raise ValueError(
                    f"log: {list(ends)} must be above 0, for smaller numbers have no logarithm; use uniform"
                )
            if name == "choice" and len({label_of(value) for value in ends}) < len(ends):
                raise ValueError(f"choice: {list(ends)} names a value twice; keep one")
        return self

    def draw(self, trial: Suggests, key: str) -> Any:
        """A value that `trial` suggests."""
        if self.choice is not None:
            labels = {label_of(value): value for value in self.choice}
            return labels[trial.suggest_categorical(key, list(labels))]
        if self.int is not None:
            return trial.suggest_int(key, *self.int)
        low, high = self.uniform or self.log or (math.nan, math.nan)
        return trial.suggest_float(key, low, high, log=self.log is not None)

    @property
    def edges(self) -> tuple[Any, ...]:
        """The values to validate: the ends of a range, or all choices."""
        return tuple(dict.fromkeys(self.uniform or self.log or self.int or ())) or self.choice or ()

    @property
    def values(self) -> tuple[Any, ...] | None:
        """All values, where they can be counted; else None."""
        return tuple(range(self.int[0], self.int[1] + 1)) if self.int is not None else self.choice

    def holds(self, value: Any) -> bool:
        if self.choice is not None:
            return label_of(value) in {label_of(each) for each in self.choice}
        low, high = self.uniform or self.log or self.int or (math.nan, math.nan)
        number = isinstance(value, (int, float) if self.int is None else int) and not isinstance(value, bool)
        return bool(number and low <= value <= high)


class Objective(Frozen):
    """One number of a trial, to be maximised or minimised."""

    metric: Metric = "accuracy"
    of: Literal["student", "weak"] = Field(
        "student", description="of which model; where nothing is sought of a student, none is trained"
    )
    direction: Literal["maximize", "minimize"] | None = Field(
        None, description="default: what is better for the metric"
    )

    @property
    def larger_is_better(self) -> bool:
        return self.direction == "maximize" if self.direction else self.metric not in SMALLER_IS_BETTER

    @property
    def label(self) -> str:
        return f"{self.of} {self.metric}"


def _objectives(value: Any) -> Any:
    """`accuracy`, `{metric: seconds}` and lists of these."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    return tuple({"metric": entry} if isinstance(entry, str) else entry for entry in entries)


Objectives = Annotated[
    tuple[Objective, ...],
    BeforeValidator(_objectives, json_schema_input_type=Metric | Objective | tuple[Metric | Objective, ...]),
]


class SearchSpec(Frozen):
    """A search for the best values of some fields."""

    # Its order counts too, so a search names it itself.
    space: Annotated[dict[str, Range], NEVER] = Field(
        min_length=1, description="dotted key of the study -> what it is drawn from"
    )
    objective: Objectives = Field((Objective(),), min_length=1, description="several give a Pareto front")
    select_on: SelectOn = Field(
        "heldout",
        description=(
            "heldout: gold of the labelled half's held-out rows; weak_labels: the weak teacher's labels of held-out"
            " pool rows (set task.pool_heldout); gold: gold of the test rows, an oracle that stamps all that comes"
            " of it"
        ),
    )
    trials: Annotated[int, NEVER] = Field(20, ge=1, description="how many points are tried; --trials overrides it")
    seeds: tuple[int, ...] = Field(
        (),
        description=(
            "of a trial's fits, one after another; the objective is their mean. Default: the study's first seed"
        ),
    )
    sampler: Literal["tpe", "gp", "qmc", "random", "grid"] = "tpe"
    pruner: Literal["none", "asha"] = Field(
        "none", description="asha: points that are behind after some of their seeds are given up"
    )
    reduction: float = Field(3.0, gt=1, description="asha goes on with one point in so many")
    seed: int = Field(0, description="of the sampler")
    first: tuple[dict[str, Any], ...] = Field(
        (), description="points to try before any other; what one leaves out is drawn"
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names a seed twice; keep one")
        return seeds

    @model_validator(mode="after")
    def _conditions_stand_above(self) -> SearchSpec:
        above: list[str] = []
        for key, drawn in self.space.items():
            for other, wanted in drawn.when.items():
                if other not in above:
                    raise ValueError(
                        f"space.{key}.when names {other!r}{closest(other, above)}, which does not stand above it in the"
                        " space"
                    )
                if lost := [value for value in _listed(wanted) if not self.space[other].holds(value)]:
                    raise ValueError(f"space.{key}.when wants {other} to be {lost[0]!r}, which it never is")
            above.append(key)
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> SearchSpec:
        if self.select_on == "weak_labels" and any(o.of == "weak" for o in self.objective):
            raise ValueError(
                "objective: the weak model always agrees with its own labels; with select_on: weak_labels seek"
                " something of the student"
            )
        if self.pruner == "asha" and (len(self.objective) > 1 or len(self.seeds) < 2):
            raise ValueError(
                "pruner: asha compares points after some of their seeds by one number; give two seeds or more and one"
                " objective, or pruner: none"
            )
        if self.sampler == "grid":
            for key, drawn in self.space.items():
                if drawn.values is None:
                    raise ValueError(f"space.{key}: a grid has no end here; use choice or int, or another sampler")
        for n, point in enumerate(self.first if self.sampler == "grid" else ()):
            if point not in list(self.grid()):
                raise ValueError(f"first.{n}: {point} is no whole point of the grid; name every field that it has")
        for n, point in enumerate(self.first):
            for key, value in point.items():
                if key not in self.space:
                    raise ValueError(f"first.{n}: {key!r} is not in the space{closest(key, self.space)}")
                if not self.space[key].holds(value):
                    raise ValueError(f"first.{n}.{key} is {value!r}, which is outside of its range")
        return self

    @property
    def of_weak_alone(self) -> bool:
        return all(objective.of == "weak" for objective in self.objective)

    def draw(self, trial: Suggests) -> Point:
        """The next point. Keys are drawn in the order of the space, so that the values that conditions depend on are
        known."""
        point: Point = {}
        for key, drawn in self.space.items():
            if _applies(drawn, point):
                point[key] = drawn.draw(trial, key)
        return point

    def grid(self) -> Iterator[Point]:
        """Every point of a space that can be counted."""
        points: list[Point] = [{}]
        for key, drawn in self.space.items():
            points = [
                {**point, key: value} if chosen else point
                for point in points
                for chosen, value in (
                    [(True, value) for value in drawn.values or ()] if _applies(drawn, point) else [(False, None)]
                )
            ]
        yield from points

    def corners(self) -> Iterator[Point]:
        """The points to validate: each edge of each range, with its conditions met."""
        for key, drawn in self.space.items():
            for edge in drawn.edges:
                yield {**self._met(drawn), key: edge}

    def labelled(self, point: Point) -> Point:
        """The point with choices replaced by their labels in Optuna."""
        return {key: label_of(value) if self.space[key].choice is not None else value for key, value in point.items()}

    def named(self, point: Point) -> Point:
        """The inverse of `labelled`."""
        return {
            key: next((v for v in self.space[key].choice or () if label_of(v) == value), value)
            for key, value in point.items()
        }

    def _met(self, drawn: Range) -> Point:
        met: Point = {}
        for other, wanted in drawn.when.items():
            met |= {**self._met(self.space[other]), other: _listed(wanted)[0]}
        return dict(sorted(met.items(), key=lambda item: list(self.space).index(item[0])))


def label_of(value: Any) -> Any:
    """A choice as Optuna can name it: numbers, texts and truth values are themselves, other values their JSON."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value, sort_keys=True)


def _listed(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]


def _applies(drawn: Range, point: Point) -> bool:
    return all(
        other in point and label_of(point[other]) in [label_of(value) for value in _listed(wanted)]
        for other, wanted in drawn.when.items()
    )
