"""`Resources`: where and how a step runs. Never part of an identity; kept in the record, because placement perturbs numerics in the last digits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from w2s_ray.core.errors import ResourceError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one step asks for."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    retries: int = 2  # after a lost worker; an exception of the step's own is not retried
    micro_tokens: int = 4096  # tokens, padding included, that go through the model at once
    activation_checkpointing: bool = False
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.cpus <= 0 or self.gpus < 0 or self.memory_gb < 0 or self.retries < 0 or self.micro_tokens < 1 or self.checkpoint_every_s <= 0:
            raise ResourceError(f"resources must be positive (gpus, memory_gb and retries may be 0), got {self}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
