"""The checkpoint of a gang: each process writes some of the tensors, whole, so that a gang of any size and stage can
continue from it. No pickle.

A checkpoint exists once the leader's manifest names it; the manifest names the last few, newest first.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from w2s_ray.backends.devices.gang import Gang
from w2s_ray.backends.fit.checkpoint import CheckpointPlace, Training
from w2s_ray.backends.fit.sealed import broken, open_json, save_sealed, seal_json
from w2s_ray.backends.sharded.zero import Sharded
from w2s_ray.blocks.losses.contract import Stateful

MANIFEST = "gang.json"
FORMAT = 3

log = logging.getLogger(__name__)


def save_pieces(
    place: CheckpointPlace, training: Training, sharded: Sharded, gang: Gang, digest: str, kept: int
) -> None:
    """Every process must call. It overwrites a slot that none of the newest `kept` checkpoints uses, so that these stay
    intact meanwhile."""
    known = _manifest(place, digest)
    slot = next(slot for slot in range(kept + 1) if slot not in {entry["slot"] for entry in known[:kept]})
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    if training.device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(training.device)
    for index, (name, parameter) in enumerate(training.weights.items()):
        values = {"weight": sharded.whole(parameter), **sharded.moments(parameter)}
        if index % gang.size == gang.rank:
            tensors |= {f"{what}/{name}": value.contiguous() for what, value in values.items()}
    if gang.leads:
        tensors["losses"] = torch.tensor(training.losses, dtype=torch.float64)
        if isinstance(training.loss_fn, Stateful):
            tensors |= {f"loss/{name}": value for name, value in training.loss_fn.state_dict().items()}
    place.keep(_piece(slot, gang.rank), _written(place, lambda name: save_sealed(tensors, name)))
    gang.wait()
    if gang.leads:
        entries = [{"slot": slot, "pieces": gang.size, "notes": training.notes()}, *known][:kept]
        manifest = {"format": FORMAT, "digest": digest, "checkpoints": entries}
        place.keep(MANIFEST, _written(place, lambda name: Path(name).write_text(seal_json(manifest), encoding="utf-8")))
    gang.wait()


def restore_pieces(place: CheckpointPlace, training: Training, sharded: Sharded, gang: Gang, digest: str) -> bool:
    """Continue from the newest checkpoint of this very fit that can be read whole by all, by whatever gang it was
    written."""
    for entry in _manifest(place, digest):
        files = _open(place, entry, gang)
        if gang.least(float(files is not None), training.device) and files is not None:
            _read(files, training, sharded, entry)
            if entry["pieces"] == gang.size:
                _read_rng(files[gang.rank], training.device)
            return True
        log.warning("the checkpoint of step %d cannot be read whole; an older one is tried", entry["notes"]["step"])
    return False


def _read_rng(piece: Any, device: torch.device) -> None:
    torch.set_rng_state(piece.get_tensor("rng"))
    if device.type == "cuda" and "rng.cuda" in piece.keys():  # noqa: SIM118  # not a dict
        torch.cuda.set_rng_state(piece.get_tensor("rng.cuda"), device)


def _open(place: CheckpointPlace, entry: dict[str, Any], gang: Gang) -> list[Any] | None:
    """The pieces of a checkpoint, if all are intact. Each process verifies the checksums of some of them."""
    from safetensors import SafetensorError, safe_open

    paths = [place.fetch(_piece(entry["slot"], rank)) for rank in range(entry["pieces"])]
    try:
        pieces = [safe_open(path, framework="pt") for path in paths if path]
        whole = len(pieces) == len(paths) and not any(broken(piece) for piece in pieces[gang.rank :: gang.size])
    except SafetensorError:
        return None
    return pieces if whole else None


def _read(files: list[Any], training: Training, sharded: Sharded, entry: dict[str, Any]) -> None:
    where = {name: file for file in files for name in file.keys()}  # noqa: SIM118  # not a dict
    sharded.restore(
        training.weights,
        lambda name, what: where[f"{what}/{name}"].get_tensor(f"{what}/{name}"),
        entry["notes"]["step"],
    )
    if isinstance(training.loss_fn, Stateful):
        names = [name for name in where if name.startswith("loss/")]
        training.loss_fn.load_state_dict({name.removeprefix("loss/"): where[name].get_tensor(name) for name in names})
    training.losses = where["losses"].get_tensor("losses").tolist()
    training.read_notes(entry["notes"])


def _manifest(place: CheckpointPlace, digest: str) -> list[dict[str, Any]]:
    """The checkpoints of this fit, newest first."""
    path = place.fetch(MANIFEST)
    found: dict[str, Any] = (open_json(path) if path else None) or {}
    matches = found.get("digest") == digest and found.get("format") == FORMAT
    return found["checkpoints"] if matches else []


def _piece(slot: int, rank: int) -> str:
    return f"gang-{slot}-{rank}.safetensors"


def _written(place: CheckpointPlace, write: Callable[[str], object]) -> Path:
    """A finished, durable temporary file."""
    place.scratch.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.scratch, suffix=".part")
    os.close(handle)
    write(name)
    with open(name, "rb") as file:
        os.fsync(file.fileno())
    return Path(name)
