"""Which rows make which step. The order is a function of (seed, epoch, id) and of lengths: never of the micro-batch,
the device or the order in the file.

Shapes: N rows in the order of their ids.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.ids import Ids
from w2s_ray.core.seeds import derive_seed

Rows = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


def id_hashes(ids: Ids) -> Hashes:
    """64 bits of each id's digest, from which the order is drawn. The ids must be sorted, so that equal hashes fall
    alike everywhere."""
    digests = b"".join(
        hashlib.blake2b(i.encode("utf-8", "surrogatepass"), digest_size=8).digest() for i in ids.tolist()
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def epoch_batches(hashes_N: Hashes, lengths_N: Rows, *, batch: int, bucket: int, seed: int, epoch: int) -> list[Rows]:
    """Row indices of each step: rows in hashed order, sorted by length inside windows of `bucket` batches, cut, and the
    batches shuffled.

    The last batch may be short; it is kept.
    """
    order = np.argsort(_mixed(hashes_N, derive_seed(seed, "order", epoch)), kind="stable")
    window = bucket * batch
    cut: list[Rows] = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths_N[rows], kind="stable")]
        cut += [rows[i : i + batch] for i in range(0, len(rows), batch)]
    shuffled = np.argsort(
        _mixed(np.arange(len(cut), dtype=np.uint64), derive_seed(seed, "batches", epoch)), kind="stable"
    )
    return [cut[i] for i in shuffled]


def drawn_batches(recipe: Recipe, hashes_N: Hashes, lengths_N: Rows, epoch: int) -> list[Rows]:
    """The batches of one epoch of a recipe."""
    drawn = epoch if recipe.order == "each" else 0
    return epoch_batches(hashes_N, lengths_N, batch=recipe.batch, bucket=recipe.bucket, seed=recipe.seed, epoch=drawn)


def num_batches(num_rows: int, batch: int) -> int:
    """Steps of one epoch. Windows hold whole batches, so only the last batch of all is short."""
    return -(-num_rows // batch)


def micro_batches(rows: Rows, lengths_N: Rows, max_tokens: int) -> list[Rows]:
    """Split rows into runs of like length whose padded size stays within `max_tokens`; a longer single row goes alone.

    Among such splits the one of least estimated cost: padded tokens, plus a constant for each pass through the model.
    """
    rows = rows[np.argsort(lengths_N[rows], kind="stable")]
    lengths = lengths_N[rows].tolist()
    best = [0.0] + [np.inf] * len(rows)
    came_from = [0] * (len(rows) + 1)
    for end in range(1, len(rows) + 1):
        longest = lengths[end - 1]
        for start in range(end - 1, -1, -1):
            padded = (end - start) * longest
            if padded > max_tokens and end - start > 1:
                break
            cost = best[start] + padded + PASS_COST_TOKENS
            if cost < best[end]:
                best[end], came_from[end] = cost, start
    cuts = [len(rows)]
    while cuts[-1]:
        cuts.append(came_from[cuts[-1]])
    return [rows[start:end] for end, start in pairwise(cuts)][::-1]


PASS_COST_TOKENS = 512  # what one more pass through a model costs besides its tokens, in tokens


def _mixed(values: Hashes, seed: int) -> Hashes:
    """splitmix64's finaliser (Steele, Lea & Flood 2014, doi 10.1145/2660193.2660195) of values and seed."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
