"""Ways of adapting a pretrained model, one object each, and the uses of a recipe by which its fields count (see
`core/identity.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AdaptName = Literal["full", "lora", "probe"]

# What a recipe is used for.
LABELS = "labels"  # a fit to labels, of all weights or of adapters
TEXTS = "texts"  # a fit to texts without labels
ADAPTERS = "adapters"  # either of them, where adapters are trained
PROBE = "probe"  # a linear model on frozen features
DRAWN = "drawn"  # a probe on a part of the features, which the seed draws
EMBED = "embed"  # the frozen features themselves
ASK = "ask"  # predictions of a model that is not finetuned
STACK = "stack"  # what fits that are computed as one have in common
MEMORY = "memory"  # how much a device must hold


@dataclass(frozen=True)
class Adapt:
    """Which weights are trained, and what follows from it elsewhere."""

    name: AdaptName
    uses: tuple[str, ...]  # of a recipe that fits labels this way
    solved: bool = False  # in closed form or to convergence: no steps, nothing to stop early, no loss to choose
    adapters: bool = False  # trains adapters beside frozen weights

    @property
    def frozen(self) -> bool:
        """Whether the pretrained weights stay as they were."""
        return self.solved or self.adapters

    @property
    def kept(self) -> str:
        """What the record of a fit that keeps its weights states as `kept`."""
        return "adapter" if self.adapters else "model"


ADAPTS: dict[AdaptName, Adapt] = {
    "full": Adapt("full", (LABELS,)),
    "lora": Adapt("lora", (LABELS, ADAPTERS), adapters=True),
    "probe": Adapt("probe", (PROBE,), solved=True),
}
