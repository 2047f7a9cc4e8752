"""`Study`: a study written in code rather than in YAML; the same keys, the same checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from w2s_ray.api.given import Given, plain, taken
from w2s_ray.config.convention import Convention
from w2s_ray.config.load import Study as Checked
from w2s_ray.config.load import anchored, as_yaml, changed, followed
from w2s_ray.config.method import MethodParams
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Models, Recipes
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.resources import Resources
from w2s_ray.trackers.contract import Tracker

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
        track: Sequence[str | Values | Tracker] | None = None,
        notify: str | None = None,
        tune: Values | SearchSpec | None = None,
        base: str | Path | None = None,
    ) -> None:
        said = {
            "name": name, "hypothesis": hypothesis, "convention": convention, "task": task, "models": models,
            "methods": methods, "baseline": baseline, "train": train, "seeds": seeds, "ceiling_on": ceiling_on,
            "metric": metric, "gap_se": gap_se, "grid": grid, "resources": resources, "track": track,
            "notify": notify, "tune": tune,
        }  # fmt: skip
        self._become(taken({key: value for key, value in said.items() if value is not None}, base=base))

    def _become(self, of: Checked, file: Path | None = None) -> None:
        super().__init__(of.config, of.cells, of.base, of.raw, file=of.file or file)

    @classmethod
    def of(cls, study: Given, sets: Sequence[str] = (), *, base: str | Path | None = None) -> Study:
        """The study that a mapping, a config or a YAML file means. `sets` are `KEY=VALUE` as after `--set`."""
        new = cls.__new__(cls)
        new._become(taken(study, sets, base=base))
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
        here, raw = path.resolve().parent == self.base, self._whole
        path.write_text(as_yaml(raw if here else anchored(raw, self.base)), encoding="utf-8")
        return path

    def with_(self, values: Values | None = None, /, **keys: Any) -> Study:
        """Another study, with other values at these keys: `study.with_({"train.strong.lr": 3e-4}, name="faster")`."""
        new = self.of(changed(self._whole, plain({**(values or {}), **keys})), base=self.base)
        new._become(new, self.file)  # its lock holds for this one, too
        return new

    @property
    def _whole(self) -> dict[str, Any]:
        """Its keys, with those that say who is told."""
        return plain(self.raw | followed(self.config))

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
