"""Checkpoint files with a checksum of their content: one whose bits have changed is not used. No pickle.

The checksum is in the file itself, so that both appear, and are replaced, together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

SEAL = "seal"


def save_sealed(tensors: Mapping[str, Tensor], name: str, notes: Mapping[str, str] | None = None) -> None:
    """One safetensors file; `notes` are its metadata."""
    from safetensors.torch import save_file

    seal = _begun(notes or {})
    for key in sorted(tensors):
        _add(seal, key, tensors[key])
    save_file(dict(tensors), name, metadata={**(notes or {}), SEAL: seal.hexdigest()})


def broken(file: Any) -> bool:
    """Whether an open safetensors file is not what `save_sealed` wrote. Reads a tensor at a time."""
    notes = dict(file.metadata() or {})
    recorded = notes.pop(SEAL, None)
    seal = _begun(notes)
    for key in sorted(file.keys()):
        _add(seal, key, file.get_tensor(key))
    return bool(seal.hexdigest() != recorded)


def seal_json(value: Any) -> str:
    """JSON that `open_json` accepts."""
    return json.dumps({SEAL: _digest(value), "value": value})


def open_json(path: Path) -> Any:
    """The value that was sealed, or None where the file is not intact."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["value"] if found[SEAL] == _digest(found["value"]) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _begun(notes: Mapping[str, str]) -> Any:
    # As fast as memory: a checkpoint has three times the bytes of its model.
    return xxhash.xxh3_128(json.dumps(dict(notes), sort_keys=True).encode())


def _add(seal: Any, key: str, tensor: Tensor) -> None:
    seal.update(f"\n{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
    seal.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
