"""Random streams that depend on names alone: the same (seed, purpose, …) gives the same stream everywhere, and no two
purposes share one."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for `purpose` under `seed`."""
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for `purpose` under `seed`."""
    return np.random.default_rng(derive_seed(seed, *purpose))


def unit_hash(seed: int, *parts: str | int) -> float:
    """A number in [0, 1) that depends on the parts alone: how a row is assigned without looking at any other row."""
    return derive_seed(seed, *parts) / 2.0**63
