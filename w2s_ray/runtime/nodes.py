"""What every machine of a cluster must have: the store, and the packages of the driver. Asked before anything runs."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from w2s_ray.core.errors import ResourceError, StoreError, W2SError
from w2s_ray.core.resources import GB
from w2s_ray.engine.store import cache_folder, open_store
from w2s_ray.runtime import cluster
from w2s_ray.runtime.demand import totals

PACKAGES = ("torch", "transformers", "safetensors", "numpy", "pydantic", "pyarrow", "peft", "deepspeed")
ASK_S = 60.0  # for all nodes to answer


@dataclass(frozen=True)
class Report:
    """One node, as a process on it found it."""

    address: str
    problem: str  # with the store; empty: none
    packages: dict[str, str]  # "" where one is missing
    python: str
    gpus: tuple[str, ...]
    disk_gb: float  # free, where models and rows are cached
    began: float  # by its own clock
    ended: float

    def skew_s(self, asked: float, answered: float) -> float:
        """How much its clock is certainly ahead of the driver's (behind, if negative), which asked and had its answer
        at these times."""
        return max(0.0, self.ended - answered) or min(0.0, self.began - asked)

    def differs(self, mine: dict[str, str]) -> list[str]:
        """Packages that it has not, or in another version than the driver."""
        return [f"{name} {self.packages[name] or 'missing'} (here {mine[name] or 'missing'})" for name in mine
                if self.packages[name] != mine[name]]  # fmt: skip


def check(url: str) -> None:
    """Refuse a cluster of which a node does not share the store or lacks a package, before anything runs on it."""
    nodes = [node for node in cluster.nodes() if not _here(node) and _works(node)]
    if not nodes:
        return
    reports = ask(url, nodes)
    wrong = [f"{report.address}: {report.problem}" for report in reports if report.problem]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise StoreError(
            f"not every node shares the store {url}: {wrong[0]}{more}; give one that all nodes share: --store s3://…,"
            " gs://… or a path on a shared disk"
        )
    mine = packages()
    for report in reports:
        missing = [name for name in mine if mine[name] and not report.packages[name]]
        if missing:
            raise ResourceError(
                f"the node {report.address} has no {missing[0]} for Python {report.python}; install there what this"
                f" machine has: pip install {' '.join(f'{name}=={mine[name]}' for name in missing)}"
            )


def ask(url: str, nodes: Sequence[dict[str, Any]]) -> list[Report]:
    """What a process on each of these nodes finds; nodes that die meanwhile are left out."""
    store = open_store(url)
    name, secret = f"drivers/token-{uuid4().hex}", uuid4().hex
    store.write(name, secret.encode())
    until = time.monotonic() + ASK_S
    try:
        tasks = [(node, _asked(node, url, name, secret)) for node in nodes]
        reports = [_answer(node, task, until) for node, task in tasks]
    finally:
        store.remove(name)
    return sorted(filter(None, reports), key=lambda report: report.address)


def _answer(node: dict[str, Any], task: Any, until: float) -> Report | None:
    """Of one node; None if it is no more."""
    try:
        report: Report = ray.get(task, timeout=max(1.0, until - time.monotonic()))
    except RayError as error:
        if node["NodeID"] not in {living["NodeID"] for living in cluster.nodes()}:
            return None
        said = "no answer" if isinstance(error, GetTimeoutError) else " ".join(str(error).split())
        raise ResourceError(
            f"the node {node['NodeManagerAddress']} runs no process within {ASK_S:.0f} s ({said[:200]}); look at its"
            " Ray logs, or take it out of the cluster"
        ) from None
    return report


def _asked(node: dict[str, Any], url: str, name: str, secret: str) -> Any:
    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    process = _report.options(num_cpus=0, max_retries=0, scheduling_strategy=where)
    return process.remote(url, name, secret, node["NodeManagerAddress"])


def packages() -> dict[str, str]:
    """Versions of what a step may import; empty for what is missing."""

    def found(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    return {name: found(name) for name in PACKAGES}


@ray.remote
def _report(url: str, name: str, secret: str, address: str) -> Report:
    began = time.time()
    return Report(
        address,
        _store_problem(url, name, secret),
        packages(),
        platform.python_version(),
        _gpus(),
        shutil.disk_usage(_existing(cache_folder())).free / GB,
        began,
        time.time(),
    )


def _store_problem(url: str, name: str, secret: str) -> str:
    try:
        store = open_store(url)
        if store.local and not os.path.isdir(str(store.root)):
            return "there is no such folder there"
        if store.read(name) != secret.encode():
            return "it does not find there what the driver wrote"
        store.probe()
    except Exception as error:  # noqa: BLE001  (each cloud's client has errors of its own, such as no right to read)
        return f"{type(error).__name__}: {error}" if not isinstance(error, W2SError) else str(error)
    return ""


def _existing(folder: Any) -> Any:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _gpus() -> tuple[str, ...]:
    """By the driver's own tool, for torch would start CUDA."""
    import subprocess

    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(listed.stdout.strip().splitlines())


def _here(node: dict[str, Any]) -> bool:
    return bool(node["NodeID"] == ray.get_runtime_context().get_node_id())


def _works(node: dict[str, Any]) -> bool:
    """Whether steps may come to it: a head without devices runs none."""
    return any(node["Resources"].get(name, 0) for name in ("CPU", "GPU"))


def try_out(url: str) -> str:
    """Start or join Ray, run a task, say what there is."""
    local = cluster.join(cluster.Target())
    try:
        check(url)
        version = ray.get(ray.remote(num_cpus=1)(_version).remote(), timeout=120)
        have = totals(cluster.nodes())
    finally:
        ray.shutdown()
    return f"{'a local Ray' if local else 'the cluster'} {version} runs tasks; {have['CPU']:g} CPU, {have['GPU']:g} GPU"


def _version() -> str:
    return str(ray.__version__)


@dataclass(frozen=True)
class Examined:
    """A cluster, as its nodes found it."""

    mine: dict[str, str]  # packages of the driver
    nodes: tuple[tuple[Report, float], ...]  # each with how much its clock is ahead
    meeting: str  # how processes of all nodes met; empty: there is one node
    apart: str  # why they did not meet; empty: they did


def examine(url: str, target: cluster.Target) -> Examined:
    """Ask every node that steps may come to, and have a process of each meet those of the others."""
    cluster.join(target)
    try:
        nodes = [node for node in cluster.nodes() if _works(node)]
        asked = time.time()
        reports = ask(url, nodes)
        answered = time.time()
        found = tuple((report, report.skew_s(asked, answered)) for report in reports)
        meeting, apart = _met(nodes) if len(nodes) > 1 else ("", "")
        return Examined(packages(), found, meeting, apart)
    finally:
        ray.shutdown()


def _met(nodes: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """A sum over gloo, as a sharded fit on CPUs needs it; and over NCCL where every node has a GPU."""
    met = []
    for backend in ("gloo", "nccl") if all(node["Resources"].get("GPU") for node in nodes) else ("gloo",):
        first, *others = (_on(node, _sum_with, backend) for node in nodes)
        where = ray.get(_on(nodes[0], _address, backend).remote(), timeout=ASK_S)
        started = time.monotonic()
        tasks = [task.remote(backend, where, rank, len(nodes)) for rank, task in enumerate((first, *others))]
        try:
            ray.get(tasks, timeout=ASK_S)
        except RayError as error:
            last = (str(error).strip().splitlines() or ["no answer"])[-1]
            return "", f"{backend}: {last[:200]}"
        met.append(f"{backend} between {len(nodes)} nodes, {time.monotonic() - started:.1f} s")
    return "; ".join(met), ""


def _on(node: dict[str, Any], function: Any, backend: str) -> Any:
    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(function).options(
        num_cpus=0, num_gpus=1 if backend == "nccl" else 0, max_retries=0, scheduling_strategy=where
    )


def _address() -> str:
    import socket

    with socket.socket() as free:
        free.bind(("", 0))
        return f"tcp://{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


def _sum_with(backend: str, where: str, rank: int, count: int) -> None:
    from w2s_ray.backends.sharded.meet import sum_of_ones
    from w2s_ray.runtime.meeting import use_network_of_node

    use_network_of_node()
    sum_of_ones(backend, where, rank, count, ASK_S / 2)
