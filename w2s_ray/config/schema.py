"""`StudyConfig`: an experiment's YAML, with the values of one grid point; `Cell`: one method at one grid point with one
seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from dataclasses import Field as DataclassField
from typing import Annotated, Any, Literal, cast, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from w2s_ray.config.convention import Convention
from w2s_ray.config.method import Method
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.search_spec import SearchSpec, SelectOn
from w2s_ray.config.task import TaskSpec
from w2s_ray.config.track import Track, Webhook
from w2s_ray.core.errors import ResourceError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.identity import NEVER, Counts
from w2s_ray.core.plugins import closest
from w2s_ray.core.resources import MEANING, Resources

GRID_VARIES = ("task", "models", "methods", "train")  # the rest is one for the whole study, or no part of any result
Role = Literal["weak", "strong"]

STUDY, SEARCH = "study", "search"  # whose identity a field is part of: a search names its points and seeds itself
MOST_CELLS = 20_000
NAME_LETTERS = 100  # file systems limit the length of a name

IN_A_STUDY = {"gpus": "auto"}  # defaults of a YAML, which differ from those of a step that nobody describes


def _default(field: DataclassField[Any]) -> Any:
    meaning = field.metadata[MEANING]
    if field.default is MISSING:
        return Field(default_factory=cast("Any", field.default_factory), description=meaning)
    return Field(IN_A_STUDY.get(field.name, field.default), description=meaning)


_hints = get_type_hints(Resources)
# `Resources` is a plain dataclass, since the engine builds it too; this model checks the fields that a YAML sets.
ResourceFields: type[BaseModel] = create_model(
    "ResourceFields",
    __doc__=Resources.__doc__,
    __base__=Frozen,
    **{f.name: (_hints[f.name], _default(f)) for f in fields(Resources)},  # type: ignore[call-overload]  # known at run time
)


def folder_name(name: str) -> str:
    """A study's name, which names a folder below runs/."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"{name!r} must be letters, digits, dots, dashes and underscores: it names a folder")
    if len(name) > NAME_LETTERS:
        raise ValueError(f"{name[:20]!r}… has {len(name)} letters; it names a folder and may have {NAME_LETTERS}")
    return name


def _build_resources(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    try:
        return Resources(**ResourceFields.model_validate(value).model_dump())
    except ResourceError as error:
        raise ValueError(str(error)) from error


Placed = Annotated[Resources, BeforeValidator(_build_resources, json_schema_input_type=ResourceFields)]


class Models(Frozen):
    """Which pretrained models: `world/NAME`, a folder, `package:NAME/FOLDER` (inside an installed Python package), or
    `hub:ORG/NAME[@COMMIT]`."""

    weak: str
    strong: str


class Recipes(Frozen):
    """How each role is finetuned. `by_model` holds for a model in every role, so that as a teacher and as a ceiling it
    is one fit."""

    weak: Recipe = Field(default_factory=Recipe)
    strong: Recipe = Field(default_factory=Recipe)
    by_model: dict[str, Recipe] = Field(
        default_factory=dict,
        description=(
            "model, spelled as under `models:` -> fields of its recipe, which stand over those of weak and strong"
        ),
    )

    def of(self, role: Role, model: str) -> Recipe:
        """The recipe of a model in a role: the role's, with the fields that are set for the model."""
        recipe: Recipe = getattr(self, role)
        override = self.by_model.get(model)
        return (
            recipe
            if override is None
            else recipe.model_copy(update={name: getattr(override, name) for name in override.model_fields_set})
        )

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """For each model in `by_model`, only the fields that are set: with the defaults of the others, a resolved
        config would read back as another study."""
        dumped: dict[str, Any] = whole(self)
        by_model = dumped.pop("by_model")
        override = {
            name: {f: v for f, v in by_model[name].items() if f in recipe.model_fields_set}
            for name, recipe in self.by_model.items()
        }
        return dumped | ({"by_model": override} if override else {})


class Placements(Frozen):
    """Where each role runs; no part of any identity."""

    weak: Placed = Resources(gpus="auto")
    strong: Placed = Resources(gpus="auto")

    def of(self, role: Role, gpus: int | None) -> Resources:
        """Of a role, on a machine with so many GPUs; None: of a cluster, which settles that itself."""
        asked: Resources = getattr(self, role)
        return asked if gpus is None else asked.settled(gpus)


class Tuned(Frozen):
    """Where a study's values come from, written by `w2s tune` into best.yaml; every table made with them says so."""

    search: str = Field(description="key of the search")
    select_on: SelectOn


class StudyConfig(Frozen):
    """An experiment."""

    name: Annotated[str, Counts(STUDY)] = Field(description="of the folder below runs/")
    hypothesis: Annotated[str, Counts(STUDY)] = Field(
        "", description="what is expected, written before the run; stands above the table"
    )
    convention: Convention | None = Field(
        None, description="whose public code's choices are the defaults (docs/how-to/conventions.md)"
    )
    task: TaskSpec
    models: Models
    methods: tuple[Method, ...] = Field(min_length=1)
    baseline: str | None = Field(
        None,
        description=(
            "name of the method that the others are compared with; default: `naive` if it is the plain one, else the"
            " first"
        ),
    )
    train: Recipes = Field(default_factory=Recipes)
    seeds: Annotated[tuple[int, ...], Counts(STUDY)] = Field(
        (0,), min_length=1, description="of training; rows are the same for all (task.seed)"
    )
    ceiling_on: Literal["pool", "labelled"] = Field(
        "pool", description="the gold rows of the ceiling: those that the student sees, or the teacher's"
    )
    metric: Literal["accuracy", "auroc"] = Field(
        "accuracy", description="what floor, student, ceiling and the gap recovered are measured in"
    )
    gap_se: float = Field(
        2.0, ge=0, description="PGR is stated only where the ceiling exceeds the floor by so many standard errors"
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="dotted key -> values; all combinations are run"
    )
    resources: Annotated[Placements, NEVER] = Field(default_factory=Placements)
    track: Annotated[tuple[Track, ...], NEVER] = Field(
        (), exclude=True, description="trackers that its runs are written to as well (docs/how-to/trackers.md)"
    )
    notify: Annotated[Webhook | None, NEVER] = Field(
        None, exclude=True, description="a webhook in Slack's format that is told of ends, failures and long waits"
    )
    tune: Annotated[SearchSpec | None, NEVER] = Field(
        None, description="the search of `w2s tune`; `w2s run` takes the study's own values"
    )
    tuned: Annotated[Tuned | None, Counts(STUDY)] = Field(None, description="set by `w2s tune` in best.yaml")

    def recipe(self, role: Role) -> Recipe:
        """How the model of a role is finetuned."""
        return self.train.of(role, getattr(self.models, role))

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        return folder_name(name)

    @field_validator("seeds")
    @classmethod
    def _seeds_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names a seed twice; each seed is one independent repetition")
        return seeds

    @field_validator("grid")
    @classmethod
    def _grid_has_points(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for name, values in grid.items():
            first = name.split(".")[0]
            if first not in GRID_VARIES:
                raise ValueError(
                    f"{name!r} cannot vary{closest(first, GRID_VARIES)}; a grid is over parts of"
                    f" {', '.join(GRID_VARIES)}"
                )
            if not values:
                raise ValueError(f"{name!r} has no values; list one or more, or drop the key")
            if len(values) > MOST_CELLS:
                raise ValueError(
                    f"{name!r} has {len(values):,} values; a study may have {MOST_CELLS:,} cells: shorten the list"
                )
            twice = [value for i, value in enumerate(values) if value in values[:i]]
            if twice:
                raise ValueError(f"{name!r} lists {twice[0]!r} twice; keep one")
        return grid

    @model_validator(mode="after")
    def _probe_has_no_loss(self) -> StudyConfig:
        strong = self.recipe("strong")
        methods: tuple[Any, ...] = self.methods  # MethodParams
        for place, loss in [("train.strong", strong.loss), *((f"methods {m.label}", m.loss) for m in methods)]:
            name = getattr(loss, "type", "xent")
            if strong.way.solved and name != "xent":
                raise ValueError(
                    f"{place}: loss {name!r} cannot be used with train.strong.adapt: probe, which is solved for"
                    " cross-entropy; drop the loss, or set adapt: full or lora"
                )
        return self

    @model_validator(mode="after")
    def _tuned_keys_may_vary(self) -> StudyConfig:
        for key in self.tune.space if self.tune else ():
            if (first := key.split(".")[0]) not in GRID_VARIES:
                raise ValueError(
                    f"tune.space: {key!r} cannot vary{closest(first, GRID_VARIES)}; a search is over parts of"
                    f" {', '.join(GRID_VARIES)}, such as train.strong.lr"
                )
            if key in self.grid:
                raise ValueError(f"tune.space: {key!r} is also in the grid; drop it from one of them")
        if self.tune and self.tune.select_on == "weak_labels" and not self.task.pool_heldout:
            raise ValueError(
                "tune.select_on: weak_labels needs pool rows that no student trains on; set task.pool_heldout to a"
                " share above 0, such as 0.1"
            )
        if self.tune and self.tune.select_on == "heldout" and not self.task.heldout:
            raise ValueError(
                "tune.select_on: heldout needs labelled rows that no model trains on; set task.heldout to a share above"
                " 0, such as 0.1"
            )
        return self

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
        """The data, and what else of the task the grid varies."""
        parts = {f"task.{k}": v for k, v in self.point.get("task", {}).items()} | self.point
        varied = {k.removeprefix("task."): v for k, v in parts.items() if k.startswith("task.") and k != "task.data"}
        return self.config.task.data + _in_brackets(varied)

    @property
    def method_label(self) -> str:
        return str(self.method.label) + self.suffix

    @property
    def suffix(self) -> str:
        """What the grid varies beside task and models: it tells apart the rows of one method."""
        return suffix_of(self.point)


def suffix_of(point: Mapping[str, Any]) -> str:
    """What a grid point adds to a method's name."""
    return _in_brackets({name: value for name, value in point.items() if name.split(".")[0] not in ("task", "models")})


def _in_brackets(varied: dict[str, Any]) -> str:
    return f" ({', '.join(f'{k}={v}' for k, v in varied.items())})" if varied else ""
