"""What a method is given and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.diagnostics import Diagnostic
from w2s_ray.core.models import ModelRef
from w2s_ray.core.resources import Resources
from w2s_ray.engine.handle import Handle


@dataclass(frozen=True)
class Learner:
    """A pretrained model, how it is finetuned, and where that runs."""

    model: ModelRef
    recipe: Recipe
    resources: Resources = field(default_factory=Resources)
    base: Handle | None = None  # another step's weights of the model to start from

    @property
    def start(self) -> dict[str, Handle]:
        """The input of a step that starts from another step's weights of the model."""
        return {} if self.base is None else {"base": self.base}

    def with_recipe(self, **changes: Any) -> Learner:
        """The same learner with other fields in its recipe; a change of None leaves the field."""
        return replace(
            self,
            recipe=self.recipe.model_copy(update={name: value for name, value in changes.items() if value is not None}),
        )

    def as_probe(self, **changes: Any) -> Learner:
        """A linear probe on the model's frozen features, by cross-entropy."""
        return replace(
            self,
            recipe=self.recipe.model_copy(update={"adapt": "probe", "loss": Recipe().loss, "check": None, **changes}),
        )

    def started_from(self, other: Learner) -> Learner:
        """This learner's recipe, with the other one's initial weights."""
        return replace(self, base=other.base)


@dataclass(frozen=True)
class Trained:
    """A learner after a fit."""

    learner: Learner
    handle: Handle


@dataclass(frozen=True)
class Member:
    """One member of an ensemble: its learner, its rows and its labels."""

    learner: Learner
    data: Handle
    labels: Handle


@dataclass(frozen=True)
class Oracle:
    """Gold of pool and test, for methods that declare themselves oracles (`MethodParams.oracle`): upper bounds, marked
    in every table."""

    pool: Handle
    test: Handle


@dataclass(frozen=True)
class Task:
    """One cell's rows and models. It holds gold of the labelled half alone; gold of pool and test is in `oracle`, for
    methods that declare themselves oracles."""

    weak: Learner
    strong: Learner
    labelled: Handle
    labels: Handle
    pool: Handle
    test: Handle
    num_classes: int  # 0 where answers are generated
    heldout: Handle | None = None
    heldout_labels: Handle | None = None
    pool_heldout: Handle | None = None  # rows of the pool that no student trains on
    # Those that the method names, beside the weak and the strong one.
    models: Mapping[str, ModelRef] = field(default_factory=dict)
    # By (role, name of such a model); without one, the role's own recipe.
    recipes: Mapping[tuple[str, str], Recipe] = field(default_factory=dict)
    oracle: Oracle | None = None

    @property
    def gold(self) -> Oracle:
        """The gold of pool and test; for oracles alone."""
        assert self.oracle is not None, "this method does not say that it is an oracle"
        return self.oracle

    def weak_like(self, name: str) -> Learner:
        """Another model, finetuned as the weak one is."""
        return replace(self.weak, model=self.models[name], recipe=self.recipes.get(("weak", name), self.weak.recipe))

    def strong_like(self, name: str) -> Learner:
        """Another model, finetuned as the strong one is."""
        return replace(
            self.strong, model=self.models[name], recipe=self.recipes.get(("strong", name), self.strong.recipe)
        )


@dataclass(frozen=True)
class Outcome:
    """The result of a method: the student (which may be a pretrained model that was not finetuned), the labels that it
    learned from, numbers and tables."""

    student: Trained | Learner
    labels: Handle
    facts: Mapping[str, Any] = field(default_factory=dict)  # a few numbers
    diagnostics: tuple[Diagnostic, ...] = ()
