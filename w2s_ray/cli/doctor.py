"""`w2s doctor`: what this machine has and lacks, and the remedy of each lack."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from w2s_ray.config.place import Place, joinable
from w2s_ray.core.errors import W2SError
from w2s_ray.core.resources import GB
from w2s_ray.engine.store import open_store

if TYPE_CHECKING:
    from w2s_ray.runtime.nodes import Report

MIN_DISK_GB, MIN_MEMORY_GB = 5.0, 4.0
MAX_SKEW_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def checks(store_url: str, *, with_ray: bool) -> Iterator[Finding]:
    """All checks, cheapest first."""
    yield _python()
    yield from _packages()
    yield from _devices()
    yield _memory()
    yield from _store(store_url)
    yield _hub()
    if with_ray:
        yield _ray(store_url)


def cluster_checks(url: str, place: Place) -> Iterator[Finding]:
    """Of every node of a cluster, from one of its machines."""
    from w2s_ray.runtime.cluster import Target
    from w2s_ray.runtime.nodes import examine

    target = Target(joinable(place.address), env=place.variables(os.environ))
    try:
        found = examine(url, target)
    except W2SError as error:
        yield Finding("cluster", "fail", "cannot be examined", str(error))
        return
    for report, skew_s in found.nodes:
        yield _node(report, skew_s, found.mine)
    if found.apart:
        yield Finding("meeting", "fail", found.apart, "open the ports between the nodes, or set GLOO_SOCKET_IFNAME")
    elif found.meeting:
        yield Finding("meeting", "ok", found.meeting)


def _node(report: Report, skew_s: float, mine: dict[str, str]) -> Finding:
    devices = ", ".join(report.gpus) or "no GPU"
    said = f"Python {report.python}, {devices}, {report.disk_gb:.0f} GB free for caches"
    lacks = report.differs(mine)
    wrong = report.problem or (f"other packages than here: {', '.join(lacks)}" if lacks else "")
    late = f"its clock differs by {skew_s:+.1f} s: set the machines' clocks" if abs(skew_s) > MAX_SKEW_S else ""
    full = "free space there" if report.disk_gb < MIN_DISK_GB else ""
    remedy = "; ".join(filter(None, (wrong, late, full)))
    return Finding(f"node {report.address}", "fail" if wrong else "warn" if remedy else "ok", said, remedy)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return (
        Finding("python", "ok", found)
        if sys.version_info >= (3, 11)
        else Finding("python", "fail", found, "install Python 3.11 or newer")
    )


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    for text in requires("w2s_ray") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding(requirement.name, "fail", "not installed", f"pip install '{requirement}'")
            continue
        good = requirement.specifier.contains(found, prereleases=True)
        yield Finding(requirement.name, "ok" if good else "fail", found, "" if good else f"pip install '{requirement}'")


def _devices() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cpu", "ok", f"{cores} cores")
    if not torch.cuda.is_available() and (built := torch.version.cuda) is None:
        yield Finding("gpu", "ok", "none", "")
    elif not torch.cuda.is_available():
        remedy = f"this torch is built for CUDA {built} and sees no device: check the driver with nvidia-smi"
        yield Finding("gpu", "warn", "none", remedy)
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(
            f"gpu {index}",
            "ok",
            f"{properties.name}, {properties.total_memory / GB:.0f} GB, bf16"
            f" {'yes' if torch.cuda.is_bf16_supported() else 'no'}",
        )


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / GB
    return Finding(
        "memory",
        "ok" if free >= MIN_MEMORY_GB else "warn",
        f"{free:.1f} GB free",
        "" if free >= MIN_MEMORY_GB else "close other programs, or lower resources.*.micro_tokens",
    )


def _store(url: str) -> Iterator[Finding]:
    try:
        store = open_store(url)
        store.probe()
    except W2SError as error:
        yield Finding("store", "fail", url, str(error))
        return
    yield Finding("store", "ok", f"{url}: writes, creates exclusively, reads, removes")
    if store.local:
        free = shutil.disk_usage(Path(store.root)).free / GB
        yield Finding(
            "disk",
            "ok" if free >= MIN_DISK_GB else "warn",
            f"{free:.1f} GB free at {store.root}",
            "" if free >= MIN_DISK_GB else "free space, or give another --store",
        )


def _hub() -> Finding:
    offline = os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "True")
    return Finding(
        "hub",
        "ok",
        (
            "offline (HF_HUB_OFFLINE is set): only what is in the cache can be loaded"
            if offline
            else "online: hub: names are downloaded when they are first used"
        ),
    )


def _ray(url: str) -> Finding:
    from w2s_ray.runtime.nodes import try_out

    try:
        return Finding("ray", "ok", try_out(url))
    except W2SError as error:
        return Finding("ray", "fail", "does not start or work", str(error))
