"""The processes that train one fit together, over torch.distributed. A fit on one device is a gang of one.

Shapes: B rows of this process, K classes, and so on: whatever comes after the first dimension.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from w2s_ray.backends.devices.device import pick_device
from w2s_ray.core.errors import PeerLost, W2SError
from w2s_ray.core.resources import Resources


@dataclass(frozen=True)
class Gang:
    """This process's rank among the others, and operations over all of them."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes for all: the first one does."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up over the gang, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def leaders(self, flags: Sequence[bool], device: torch.device) -> list[bool]:
        """The leader's flags, so that all processes take the same branch."""
        if self.size == 1:
            return list(flags)
        sent = torch.tensor([float(flag and self.leads) for flag in flags], device=device)
        return [bool(flag) for flag in self.sum(sent).tolist()]

    def least(self, value: float, device: torch.device) -> float:
        """The smallest value over all processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MIN)
        return float(tensor)

    def each(self, value: float, device: torch.device) -> list[float]:
        """The value of every process, in the order of their ranks."""
        values = torch.zeros(self.size, dtype=torch.float64, device=device)
        values[self.rank] = value
        found: list[float] = self.sum(values).tolist()
        return found

    def gather(self, tensor_B: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of all processes in the order in which they were dealt, one to each in turn, and the places of this
        process's rows among them."""
        if self.size == 1:
            return tensor_B, torch.arange(len(tensor_B), device=tensor_B.device)
        counts = torch.zeros(self.size, dtype=torch.int64, device=tensor_B.device)
        counts[self.rank] = len(tensor_B)
        sizes = self.sum(counts)
        padded = tensor_B.new_zeros((int(sizes.max()), *tensor_B.shape[1:]))
        padded[: len(tensor_B)] = tensor_B
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        there = (torch.arange(len(padded), device=sizes.device)[:, None] < sizes).flatten()
        owners = torch.arange(self.size, device=sizes.device).repeat(len(padded))[there]
        return torch.stack(parts, dim=1).flatten(0, 1)[there], torch.nonzero(owners == self.rank)[:, 0]

    def wait(self) -> None:
        """A barrier: wait for all processes."""
        if self.size > 1:
            dist.barrier()


ALONE = Gang()
_JOINED = [False]  # whether this process has been in a group since `lost_peers` began


@contextmanager
def lost_peers() -> Iterator[None]:
    """Raise PeerLost where communication fails because another process is gone, or because the group was taken down for
    a restart; other errors pass unchanged.

    gloo raises plain errors that name its own files.
    """
    _JOINED[0] = dist.is_initialized()
    try:
        yield
    except W2SError:
        raise
    except Exception as error:
        taken_down = _JOINED[0] and not dist.is_initialized()
        if (
            taken_down
            or isinstance(error, dist.DistError)
            or (isinstance(error, RuntimeError) and "/gloo/" in str(error))
        ):
            raise PeerLost(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        raise


def own_device(resources: Resources) -> torch.device:
    """The GPU of this process among those that its node's processes see, or the CPU."""
    if resources.num_gpus > 0 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return pick_device(resources)


def join_gang(device: torch.device) -> Gang:
    """The process group that Ray Train or torchrun announced, else a group of this process alone: DeepSpeed needs a
    group even then."""
    if not dist.is_initialized():
        alone = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
        for name, value in alone.items():
            os.environ.setdefault(name, value)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    _JOINED[0] = True
    return Gang(dist.get_rank(), dist.get_world_size())
