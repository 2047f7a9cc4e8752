"""Ways of adapting a pretrained model, one object each, and the uses of a recipe by which its fields count (see
`core/identity.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AdaptName = Literal["full", "lora", "probe"]

# What a recipe is used for.
LABELS = "labels"  # a fit to labels, of all weights or of adapters
TEXTS = "texts"  # a fit to texts without labels
ADAPTERS = "adapters"  # either of them, where adapters learn
PROBE = "probe"  # a linear model on frozen features
DRAWN = "drawn"  # one that reads a part of them, which a seed draws
EMBED = "embed"  # the frozen features themselves
ASK = "ask"  # what a model says that is not finetuned
STACK = "stack"  # what fits that are computed as one have in common
MEMORY = "memory"  # how much a device must hold


@dataclass(frozen=True)
class Adapt:
    """What learns, and what that means for everything else."""

    name: AdaptName
    uses: tuple[str, ...]  # of a recipe that fits labels this way
    solved: bool = False  # in closed form or to convergence: no steps, nothing to stop early, no loss to choose
    adapters: bool = False  # beside weights that stay as they were

    @property
    def frozen(self) -> bool:
        """Whether the pretrained weights stay as they were."""
        return self.solved or self.adapters

    @property
    def kept(self) -> str:
        """What a record says that a fit kept, where it keeps weights."""
        return "adapter" if self.adapters else "model"


ADAPTS: dict[AdaptName, Adapt] = {
    "full": Adapt("full", (LABELS,)),
    "lora": Adapt("lora", (LABELS, ADAPTERS), adapters=True),
    "probe": Adapt("probe", (PROBE,), solved=True),
}
