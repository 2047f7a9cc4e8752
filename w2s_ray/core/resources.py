"""`Resources`: where and how a step runs. Never part of an identity; kept in the record, because placement perturbs numerics in the last digits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from w2s_ray.core.errors import ResourceError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one step asks for."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    workers: int = 1  # processes that train one fit together, each with these cpus, gpus and memory
    zero: Literal["auto", 0, 1, 2, 3] = "auto"  # what DeepSpeed spreads over them
    offload: Literal["none", "optimizer", "params"] = "none"  # what it keeps in the host's memory
    retries: int = 2  # after a lost worker; an exception of the step's own is not retried
    micro_tokens: int = 4096  # tokens, padding included, that go through the model at once
    activation_checkpointing: bool = False
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        may_be_zero = ("gpus", "memory_gb", "retries")
        for name in ("cpus", "gpus", "workers", "memory_gb", "retries", "micro_tokens", "checkpoint_every_s"):
            value = getattr(self, name)
            if value < 0 or (value == 0 and name not in may_be_zero):
                raise ResourceError(f"{name} is {value:g}; it must be {'0 or more' if name in may_be_zero else 'above 0'}")

    @property
    def sharded(self) -> bool:
        """Whether DeepSpeed trains: several processes, or one of which a stage or an offload is asked."""
        return self.workers > 1 or self.zero != "auto" or self.offload != "none"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
