"""`MethodParams`: what every method's config has. A method is a subclass with a `type`, its parameters and `run(ctx,
task) -> Outcome`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field, SerializeAsAny

from w2s_ray.config.recipe import Check, Layer, Loss
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.kinds import KindName
from w2s_ray.core.plugins import plugin


class MethodParams(Frozen):
    """Fields that all methods share."""

    name: str | None = Field(None, description="what tables call it; default: its type")
    loss: Loss | None = Field(None, description="the student's loss; default: the one of train.strong")

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.name or str(getattr(self, "type", ""))

    trains_teachers: ClassVar[bool] = False  # trains several weak models, which a file of labels cannot replace
    refuses: ClassVar[Mapping[KindName, str]] = {}  # kinds of rows that it makes no sense for, and why

    @property
    def oracle(self) -> bool:
        """Whether it is given gold of pool and test: an upper bound, which every table marks."""
        return False

    @property
    def other_models(self) -> tuple[str, ...]:
        """Models that the method trains beside the weak and the strong one, as teachers or as students."""
        return self.other_students

    @property
    def other_students(self) -> tuple[str, ...]:
        """Those of `other_models` that are finetuned as the strong one is."""
        return ()

    @property
    def stopping(self) -> Check | None:
        """The early stopping that the method asks of the student."""
        return None

    @property
    def layers_read(self) -> Mapping[str, tuple[Layer, ...]]:
        """By role, the layers of its model that the method itself names, beside that of the recipe."""
        return {}

    @property
    def needs_heldout(self) -> bool:
        """Whether it uses the labelled half's held-out rows, as a combiner that learns does."""
        return bool(getattr(getattr(self, "combine", None), "learns", False))


TEXTS = "it works with class probabilities, and answers that are generated are texts; use task.format: choice"
VECTORS = "it reads one vector a row, and candidates are read apart; use task.format: choices"

Method = Annotated[SerializeAsAny[BaseModel], plugin("w2s_ray.methods")]
