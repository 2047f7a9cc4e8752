"""Whether processes of several machines can compute together: the smallest collective there is."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed


def sum_of_ones(backend: str, where: str, rank: int, count: int, limit_s: float) -> None:
    """Meet `count - 1` others at an address (tcp://HOST:PORT), and add up a one of each."""
    limit = timedelta(seconds=limit_s)
    torch.distributed.init_process_group(backend, init_method=where, rank=rank, world_size=count, timeout=limit)
    try:
        total = torch.ones(1, device="cuda" if backend == "nccl" else "cpu")
        torch.distributed.all_reduce(total)
    finally:
        torch.distributed.destroy_process_group()
    if total.item() != count:
        raise RuntimeError(f"the sum of {count} ones is {total.item():g}")
