"""Which device computes, in which precision, and how much memory it took."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from w2s_ray.core.errors import ResourceError
from w2s_ray.core.resources import Resources

Autocast = Callable[[], AbstractContextManager[object]]


def pick_device(resources: Resources) -> torch.device:
    """The GPU that was asked for, else the CPU. Never a GPU that was not asked for: another step may hold it."""
    if resources.num_gpus <= 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ResourceError(
            f"resources.gpus is {resources.num_gpus:g}, but torch {torch.__version__} sees no CUDA device here; set"
            " resources.gpus: 0 or mend the driver"
        )
    return torch.device("cuda", torch.cuda.current_device())


def use_threads(resources: Resources) -> None:
    """One thread for each CPU that the step owns: more would compete with other steps for the cores, several times
    slower for all."""
    torch.set_num_threads(max(1, int(resources.cpus)))


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: Literal["fp32", "bf16"]) -> Autocast:
    """A context for the forward pass. Master weights and optimizer state stay fp32."""
    if precision == "fp32":
        return nullcontext
    if not has_bf16(device):
        raise ResourceError(
            f"train.precision is bf16, which {device_name(device)} does not have; set train.precision: fp32"
        )
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)


def device_name(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})"
    )


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a time that is measured next is right."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory so far: of the GPU's allocator, or of this whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
