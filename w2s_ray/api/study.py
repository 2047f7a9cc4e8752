"""`Study`: a study written in code rather than in YAML; the same keys, the same checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from pydantic import BaseModel

from w2s_ray.config.convention import Convention
from w2s_ray.config.load import Study as Checked
from w2s_ray.config.load import anchored, as_yaml, changed, made, raw_of
from w2s_ray.config.method import MethodParams
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Models, Recipes, StudyConfig
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import available
from w2s_ray.core.resources import Resources

if TYPE_CHECKING:
    from w2s_ray.api.results import StudyResults
    from w2s_ray.study.plan import Plan

Values = Mapping[str, Any]


class Study(Checked):
    """A study: the keys of its YAML as keywords, checked at once. A value is written as in YAML, or is the object that
    it means, such as `Naive(name="mine")`; a list may be any sequence or array.

    Relative paths start from `base`, which is the working folder where it is not said.
    """

    def __init__(
        self,
        *,
        name: str,
        task: Values | TaskSpec,
        models: Values | Models,
        methods: Sequence[str | Values | MethodParams],
        hypothesis: str | None = None,
        convention: Convention | None = None,
        baseline: str | None = None,
        train: Mapping[str, Values | Recipe] | Recipes | None = None,
        seeds: Iterable[int] | None = None,
        ceiling_on: Literal["pool", "labelled"] | None = None,
        metric: Literal["accuracy", "auroc"] | None = None,
        gap_se: float | None = None,
        grid: Mapping[str, Iterable[Any]] | None = None,
        resources: Mapping[str, Values | Resources] | None = None,
        tune: Values | SearchSpec | None = None,
        base: str | Path | None = None,
    ) -> None:
        said = {
            "name": name, "hypothesis": hypothesis, "convention": convention, "task": task, "models": models,
            "methods": methods, "baseline": baseline, "train": train, "seeds": seeds, "ceiling_on": ceiling_on,
            "metric": metric, "gap_se": gap_se, "grid": grid, "resources": resources, "tune": tune,
        }  # fmt: skip
        self._become({key: value for key, value in said.items() if value is not None}, base)

    def _become(
        self, raw: Values, base: str | Path | None, sets: Sequence[str] = (), resources: Values | None = None
    ) -> None:
        try:
            plain = _plain(raw)
        except RecursionError:
            raise ConfigError("the study holds a list or mapping that holds itself; write its values out") from None
        of = made(plain, Path.cwd() if base is None else Path(base).resolve(), sets, resources)
        super().__init__(of.config, of.cells, of.base, of.raw)

    @classmethod
    def of(
        cls, study: Study | Checked | StudyConfig | Values | str | Path, sets: Sequence[str] = (), *,
        base: str | Path | None = None, resources: Values | None = None,
    ) -> Study:  # fmt: skip
        """The study that a mapping, a config or a YAML file means. `sets` are `KEY=VALUE` as after `--set`; `resources`
        stand above its own."""
        if isinstance(study, (str, Path)):
            raw, base = raw_of(Path(study)), base or Path(study).resolve().parent
        elif isinstance(study, Checked):
            raw, base = study.raw, base or study.base
        elif isinstance(study, StudyConfig):
            raw = study.model_dump(mode="json")
        elif isinstance(study, Mapping):
            raw = dict(study)
        else:
            raise ConfigError(f"study is {study!r}; give a w2s.Study, a mapping with its keys, or the path of its YAML")
        new = cls.__new__(cls)
        new._become(raw, base, sets, resources)
        return new

    @classmethod
    def from_yaml(cls, path: str | Path, sets: Sequence[str] = ()) -> Study:
        """The study of a file, with its `extends:`."""
        return cls.of(Path(path), sets)

    def to_yaml(self, path: str | Path) -> Path:
        """Write it as a file that `w2s run` takes. Beside another folder's files it names them by absolute paths."""
        own = [method for method in self.raw["methods"] if isinstance(method, MethodParams)]
        if own:
            raise ConfigError(
                f"methods: {own[0].label} is a class of this program, which no YAML can name; make it a plug-in with an"
                " entry point of the group w2s_ray.methods"
            )
        path = Path(path)
        here = path.resolve().parent == self.base
        path.write_text(as_yaml(self.raw if here else anchored(self.raw, self.base)), encoding="utf-8")
        return path

    def with_(self, values: Values | None = None, /, **keys: Any) -> Study:
        """Another study, with other values at these keys: `study.with_({"train.strong.lr": 3e-4}, name="faster")`."""
        return self.of(changed(self.raw, _plain({**(values or {}), **keys})), base=self.base)

    def run(self, **how: Unpack[Running]) -> StudyResults:
        """`w2s.run(study, …)`."""
        from w2s_ray.api.run import run

        return run(self, **how)

    def plan(self, **where: Unpack[Planning]) -> Plan:
        """`w2s.plan(study, …)`."""
        from w2s_ray.api.run import plan

        return plan(self, **where)

    def __repr__(self) -> str:
        from w2s_ray.study.plan import product

        return f"<Study {self.config.name}: {len(self.cells)} cells = {product(self)}>"


class Planning(TypedDict, total=False):
    """The keywords of `w2s.plan`."""

    store: str | Path | None
    runs: str | Path | None
    place: str | Path | None
    sets: Sequence[str]


class Running(Planning, total=False):
    """The keywords of `w2s.run`."""

    address: str | None
    local: bool
    budget: float | None
    quiet: bool


def _plain(value: Any) -> Any:
    """As YAML would hold it. What an object leaves at its default stays unsaid, so that a convention's default or a
    model's own still counts. A method that no name finds stays what it is."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, BaseModel):
        return value if _is_own(value) else _said(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if not _is_default(value, f)}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's
        return _plain(value.tolist())
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple, range)) else value


def _said(value: BaseModel) -> dict[str, Any]:
    named = [name for name in type(value).model_fields if name in value.model_fields_set or name == "type"]
    return {name: _plain(getattr(value, name)) for name in named}


def _is_own(value: BaseModel) -> bool:
    """Whether it is a method of this program alone: a class that is not in the registry."""
    if not isinstance(value, MethodParams):
        return False
    return type(value) not in available("w2s_ray.methods").values()


def _is_default(value: Any, field: Any) -> bool:
    default = field.default if field.default is not MISSING else field.default_factory()
    return bool(getattr(value, field.name) == default)
