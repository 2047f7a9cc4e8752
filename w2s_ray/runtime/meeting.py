"""How the processes of a gang find each other: over the network by which Ray knows their nodes."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import ray.util
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError

INTERFACE = "GLOO_SOCKET_IFNAME"


@dataclass
class Meeting(TorchConfig):
    """Torch's process group, met up to `retries` times more."""

    retries: int = 0

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


class _Backend(_TorchBackend):
    """In the process of Ray Train's controller."""

    def __init__(self) -> None:
        self._failed = 0

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Ray 2.60 keeps the devices of a group that started and could not meet, and does not try again: so they are
        given back here, and the error is one after which it does."""
        group = None
        try:
            group = worker_group.execute_single(0, ray.util.get_current_placement_group)
            worker_group.execute(use_network_of_node)
            super().on_start(worker_group, backend_config)
        except Exception as error:
            if group is not None:
                ray.util.remove_placement_group(group)
            self._failed += 1
            if self._failed > backend_config.retries:
                raise
            raise WorkerGroupStartupFailedError(f"the processes did not meet: {error}") from error


def use_network_of_node() -> None:
    """In each worker: gloo takes the address that the machine's own name stands for, which is often 127.0.1.1."""
    if INTERFACE not in os.environ and (name := interface_of(ray.util.get_node_ip_address())):
        os.environ[INTERFACE] = name


def interface_of(address: str) -> str | None:
    """The network interface of this machine that has an address."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(one.family in (socket.AF_INET, socket.AF_INET6) and one.address == address for one in addresses):
            return str(name)
    return None
