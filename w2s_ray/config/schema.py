"""`StudyConfig`: the whole of an experiment's YAML after its grid has been chosen from; `Cell`: one point of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from w2s_ray.config.method import Method
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ResourceError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.resources import Resources


def _build_resources(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return Resources(**value)
        except ResourceError as error:
            raise ValueError(str(error)) from error
        except TypeError as error:
            raise ValueError(f"{error}; the fields are {', '.join(Resources.__dataclass_fields__)}") from error
    return value


class Models(Frozen):
    """Which pretrained models: `world/NAME`, a folder, or `hub:ORG/NAME@REVISION`."""

    weak: str
    strong: str


class Recipes(Frozen):
    """How each role is finetuned."""

    weak: Recipe = Field(default_factory=Recipe)
    strong: Recipe = Field(default_factory=Recipe)


class Placements(Frozen):
    """Where each role runs; no part of any identity."""

    weak: Annotated[Resources, BeforeValidator(_build_resources)] = Resources()
    strong: Annotated[Resources, BeforeValidator(_build_resources)] = Resources()


class StudyConfig(Frozen):
    """An experiment."""

    name: str = Field(description="of the folder below runs/")
    hypothesis: str = Field("", description="what is expected, written before the run; stands above the table")
    task: TaskSpec
    models: Models
    methods: tuple[Method, ...] = Field(min_length=1)
    train: Recipes = Field(default_factory=Recipes)
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of training; rows are the same for all (task.seed)")
    ceiling_on: Literal["pool", "labelled"] = Field("pool", description="the gold rows of the ceiling: those that the student sees, or the teacher's")
    gap_se: float = Field(2.0, ge=0, description="PGR is stated only where the ceiling exceeds the floor by so many standard errors")
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="dotted key -> values; all combinations are run")
    resources: Placements = Field(default_factory=Placements)

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} must be letters, digits, dots, dashes and underscores: it names a folder")
        return name

    @field_validator("seeds")
    @classmethod
    def _seeds_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names a seed twice; each seed is one independent repetition")
        return seeds

    @model_validator(mode="after")
    def _labels_once(self) -> StudyConfig:
        labels = [method.label for method in self.methods]  # type: ignore[attr-defined]  # plug-ins are MethodParams
        if len(set(labels)) < len(labels):
            raise ValueError(f"methods: {labels} names one twice; give each a `name:` of its own")
        return self


@dataclass(frozen=True)
class Cell:
    """One method, at one grid point, with one seed."""

    config: StudyConfig  # of the grid point
    method: Any  # a MethodParams with `run`
    seed: int
    point: dict[str, Any]  # the grid's choice

    @property
    def task_label(self) -> str:
        return self._with(self.config.task.data, "task.", drop="task.data")

    @property
    def method_label(self) -> str:
        varied = {name: value for name, value in self.point.items() if not name.startswith(("task.", "models."))}
        return str(self.method.label) + (f" ({', '.join(f'{k}={v}' for k, v in varied.items())})" if varied else "")

    def _with(self, label: str, prefix: str, drop: str) -> str:
        varied = {k.removeprefix(prefix): v for k, v in self.point.items() if k.startswith(prefix) and k != drop}
        return label + (f" ({', '.join(f'{k}={v}' for k, v in varied.items())})" if varied else "")
