"""`Resources`: where and how a step runs. Never part of an identity; kept in the record, because placement perturbs
numerics in the last digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from w2s_ray.core.errors import ResourceError

GB = 2.0**30
TOKENS_AT_ONCE = 4096  # without an estimate of what fits: enough to keep a CPU's cores or a small GPU busy


class Named(dict[str, Any]):
    """A mapping that does not change, so that resources can be compared and looked up."""

    def __hash__(self) -> int:  # type: ignore[override]  # a plain mapping has none
        return hash(frozenset(self.items()))


MEANING = "description"  # of a field: the reference and the schema print it


def _key(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={MEANING: meaning})


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one step asks for. `auto` is settled by the process that trains, from the device's memory, the model's shape
    and the longest row."""

    cpus: float = _key(1.0, "of each process")
    gpus: float | Literal["auto"] = _key(
        0.0, "of each process; auto: one, where there are enough of them, which is settled before anything runs"
    )
    memory_gb: float = _key(0.0, "of each process, of the host; 0: nothing is asked for")
    accelerator: str = _key("", "the model of the GPUs as Ray names it, such as A100; empty: any")
    custom: Mapping[str, float] = field(
        default_factory=Named, metadata={MEANING: "a cluster's own resources: name -> amount"}
    )
    labels: Mapping[str, str] = field(
        default_factory=Named, metadata={MEANING: "of the nodes: label -> value, `!value`, `in(a,b)` or `!in(a,b)`"}
    )
    gpu_gb: float = _key(
        0.0, "of one GPU; 0: ask it. Given, a fit that it cannot hold is refused before anything starts"
    )
    workers: int | tuple[int, int] = _key(
        1, "processes that train one fit together; [fewest, most]: as many as there is room for"
    )
    zero: Literal["auto", 0, 1, 2, 3] = _key("auto", "the stage of ZeRO: what DeepSpeed spreads over the processes")
    offload: Literal["none", "optimizer", "params"] = _key("none", "what DeepSpeed keeps in the host's memory")
    retries: int = _key(2, "after a lost process; an error of the step's own is not retried")
    micro_tokens: int | Literal["auto"] = _key(
        "auto", "tokens, padding included, that go through the model at once on a device"
    )
    fuse: bool | Literal["auto"] = _key(
        "auto", "train members of an ensemble that share a device as one computation; auto: where that is faster"
    )
    activation_checkpointing: bool | Literal["auto"] = _key("auto", "compute activations twice instead of keeping them")
    checkpoint_every_s: float = _key(60.0, "seconds between checkpoints of a fit")
    checkpoint_every_steps: int = _key(0, "a checkpoint after so many steps, as well; 0: by the clock alone")
    checkpoints_kept: int = _key(2, "of a fit by several processes, while it runs")
    hang_s: float = _key(
        600.0, "a step by several processes that takes longer is given up, its stacks recorded, and begun again"
    )

    def __post_init__(self) -> None:
        for name in ("custom", "labels"):
            object.__setattr__(self, name, Named(getattr(self, name)))
        if self.gpus == "auto" and (self.accelerator or self.gpu_gb):
            object.__setattr__(self, "gpus", 1.0)  # who describes a GPU wants one
        for name, amount in self.custom.items():
            if not amount > 0:
                raise ResourceError(f"custom.{name} is {amount:g}; it must be above 0")
        if self.accelerator and not self.gpus:
            raise ResourceError(f"accelerator is {self.accelerator}, but gpus is 0; set gpus: 1, or leave it out")
        may_be_zero = ("gpus", "memory_gb", "gpu_gb", "retries", "checkpoint_every_steps")
        for name in (*may_be_zero, "cpus", "micro_tokens", "checkpoint_every_s", "checkpoints_kept", "hang_s"):
            value = getattr(self, name)
            if value != "auto" and (value < 0 or (value == 0 and name not in may_be_zero)):
                raise ResourceError(
                    f"{name} is {value:g}; it must be {'0 or more' if name in may_be_zero else 'above 0'}"
                )
        if not 1 <= self.fewest <= self.most:
            raise ResourceError(f"workers is {self.workers}; it must be a number above 0, or [fewest, most]")
        if self.gpu_gb and not self.gpus:
            raise ResourceError(f"gpu_gb is {self.gpu_gb:g}, but gpus is 0; set gpus: 1, or leave gpu_gb out")
        if self.offload == "params" and self.zero not in ("auto", 3):
            raise ResourceError(
                f"offload is params, which needs weights that are spread; set zero: 3 or auto, not {self.zero}"
            )
        if self.offload == "optimizer" and self.zero == 0:
            raise ResourceError(
                "offload is optimizer, which needs an optimizer that is spread; set zero: 1, 2, 3 or auto, not 0"
            )

    @property
    def num_gpus(self) -> float:
        """Of one process; none as long as `auto` is not settled."""
        return 0.0 if self.gpus == "auto" else self.gpus

    def settled(self, there: float) -> Resources:
        """With a number of GPUs, where so many are there for all of its processes."""
        return self if self.gpus != "auto" else replace(self, gpus=float(there >= self.fewest))

    @property
    def fewest(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @property
    def sharded(self) -> bool:
        """Whether DeepSpeed trains: several processes, or one of which a stage or an offload is asked."""
        return self.most > 1 or self.zero != "auto" or self.offload != "none"

    @property
    def tokens_at_once(self) -> int:
        return TOKENS_AT_ONCE if self.micro_tokens == "auto" else self.micro_tokens

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def one_process(resources: Resources) -> Resources:
    """For what needs no others, such as a linear model on features that are there."""
    return replace(resources, workers=1, zero="auto", offload="none", gpus=0.0, gpu_gb=0.0, accelerator="")
