"""The processes that train one fit together, over torch.distributed. A fit on one device is a gang of one.

Shapes: B rows of this process, K classes, and so on: whatever comes after the first dimension.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from w2s_ray.backends.devices import pick_device
from w2s_ray.core.resources import Resources


@dataclass(frozen=True)
class Gang:
    """This process's place among the others."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """One of them writes what all have made."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up over the gang, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def leaders(self, value: bool, device: torch.device) -> bool:
        """What the leader says, so that all take the same turn."""
        return bool(self.sum(torch.tensor(float(value and self.leads), device=device)).item())

    def gather(self, tensor_B: Tensor) -> tuple[Tensor, int]:
        """The rows of all processes in the order of their ranks, and where this one's begin. Processes may have different numbers of rows."""
        if self.size == 1:
            return tensor_B, 0
        counts = torch.zeros(self.size, dtype=torch.int64, device=tensor_B.device)
        counts[self.rank] = len(tensor_B)
        sizes = [int(count) for count in self.sum(counts).tolist()]
        padded = tensor_B.new_zeros((max(sizes), *tensor_B.shape[1:]))
        padded[: len(tensor_B)] = tensor_B
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]), sum(sizes[: self.rank])

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Gang()


def own_device(resources: Resources) -> torch.device:
    """The GPU of this process among those that its node's processes see, or the CPU."""
    if resources.gpus > 0 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return pick_device(resources)


def join_gang(device: torch.device) -> Gang:
    """The process group that Ray Train or torchrun announced; alone where nobody did. DeepSpeed wants a group even of one."""
    if not dist.is_initialized():
        alone = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
        for name, value in alone.items():
            os.environ.setdefault(name, value)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Gang(dist.get_rank(), dist.get_world_size())
