"""How a test starts several processes."""

from __future__ import annotations

import sys


def torchrun(size: int) -> list[str]:
    """On this machine, at any free port."""
    rendezvous = ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(size), *rendezvous]
