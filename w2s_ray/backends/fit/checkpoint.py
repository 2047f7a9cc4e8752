"""The state of a fit in one safetensors file, so that a fit that was killed continues where it was. No pickle.

Tensors: `weight.NAME` (what trains), `adamw.NAME.FIELD`, `loss.NAME`, `rng.*`, `trace.*`. Metadata: digest of the fit,
step, counters, a checksum of it all.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from w2s_ray.backends.fit.sealed import broken, save_sealed
from w2s_ray.blocks.losses.contract import LossFn, Stateful

CHECKPOINT = "fit.safetensors"

log = logging.getLogger(__name__)


class CheckpointPlace(Protocol):
    """Where a fit keeps its checkpoint. `keep` moves a file in, and replaces an older one of that name atomically."""

    @property
    def scratch(self) -> Path:
        """A local folder for files that are being written."""
        ...

    def fetch(self, name: str) -> Path | None: ...

    def keep(self, name: str, file: Path) -> None: ...


@dataclass
class Training:
    """The state of a fit: all that changes while it runs."""

    weights: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    loss_fn: LossFn
    device: torch.device
    step: int = 0
    losses: list[float] = field(default_factory=list)
    counters: dict[str, float] = field(default_factory=dict)
    resumed: list[dict[str, float]] = field(default_factory=list)  # one entry a time that a checkpoint was continued
    # On rows that the fit does not learn from: step and score.
    evaluations: list[dict[str, float]] = field(default_factory=list)
    saved_at: float = 0.0  # by the wall clock: when the checkpoint that is continued was written

    def notes(self) -> dict[str, Any]:
        """The part of a checkpoint that is not tensors."""
        return {
            "step": self.step,
            "counters": self.counters,
            "resumed": self.resumed,
            "evaluations": self.evaluations,
            "at": time.time(),
        }

    def read_notes(self, notes: Mapping[str, Any]) -> None:
        self.step, self.counters, self.resumed, self.saved_at = (
            notes["step"],
            notes["counters"],
            notes["resumed"],
            notes["at"],
        )
        self.evaluations = notes["evaluations"]


def save_checkpoint(place: CheckpointPlace, training: Training, digest: str) -> None:
    """Write to the place's scratch folder, then move the whole file to its name."""
    meta = {"digest": digest, "notes": json.dumps(training.notes())}
    place.scratch.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.scratch, suffix=".safetensors")
    os.close(handle)
    save_sealed(_tensors(training), name, meta)
    with open(name, "rb") as file:
        os.fsync(file.fileno())
    place.keep(CHECKPOINT, Path(name))


def restore_checkpoint(place: CheckpointPlace, training: Training, digest: str) -> bool:
    """Restore the place's checkpoint if it is one of this very fit; a damaged one or another fit's is ignored."""
    from safetensors import SafetensorError, safe_open

    path = place.fetch(CHECKPOINT)
    if path is None:
        return False
    try:
        with safe_open(path, framework="pt") as file:
            meta: Mapping[str, str] = file.metadata() or {}
            if broken(file):
                log.warning("the checkpoint %s does not have its checksum; the fit starts over", path)
                return False
            names = file.keys()  # not those of a dict
            tensors = {name: file.get_tensor(name) for name in names} if meta.get("digest") == digest else None
    except SafetensorError as error:
        log.warning("the checkpoint %s cannot be read (%s); the fit starts over", path, error)
        return False
    if tensors is None:
        log.warning("the checkpoint %s belongs to another fit; this one starts over", path)
        return False
    training.read_notes(json.loads(meta["notes"]))
    _load(training, tensors)
    return True


def _tensors(training: Training) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {f"weight.{name}": p.detach() for name, p in training.weights.items()}
    for name, parameter in training.weights.items():
        tensors |= {f"adamw.{name}.{key}": value for key, value in training.optimizer.state.get(parameter, {}).items()}
    if isinstance(training.loss_fn, Stateful):
        tensors |= {f"loss.{name}": value for name, value in training.loss_fn.state_dict().items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if training.device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(training.device)
    tensors["trace.losses"] = torch.tensor(training.losses, dtype=torch.float64)
    return {name: value.contiguous() for name, value in tensors.items()}


def _load(training: Training, tensors: Mapping[str, Tensor]) -> None:
    state: dict[nn.Parameter, dict[str, Any]] = {}
    with torch.no_grad():
        for name, parameter in training.weights.items():
            parameter.copy_(tensors[f"weight.{name}"])
            prefix = f"adamw.{name}."
            state[parameter] = {
                key.removeprefix(prefix): value.to(parameter.device)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
    training.optimizer.state.update({p: values for p, values in state.items() if values})
    if isinstance(training.loss_fn, Stateful):
        training.loss_fn.load_state_dict(
            {key.removeprefix("loss."): value for key, value in tensors.items() if key.startswith("loss.")}
        )
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and training.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["rng.cuda"], training.device)
    training.losses = tensors["trace.losses"].tolist()
