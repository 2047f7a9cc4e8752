"""What a step leaves behind in a process that goes on to the next one."""

from __future__ import annotations

import gc
import os
import sys

LEFT_BYTES = 256 * 2**20  # of a device: cuBLAS and its like keep some
GROWN_BYTES = 2 * 2**30  # of the host, since the process's first step

_first: list[int] = []


def is_clean() -> bool:
    """Give back what is not in use, and look whether the process may serve another step."""
    gc.collect()
    torch = sys.modules.get("torch")  # a step that did not import it has no device
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        if any(torch.cuda.memory_allocated(device) > LEFT_BYTES for device in range(torch.cuda.device_count())):
            return False
    resident = _resident_bytes()
    _first.append(resident)
    del _first[1:]
    return resident - _first[0] <= GROWN_BYTES


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux
        return 0
