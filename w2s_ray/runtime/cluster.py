"""Starting, joining and leaving Ray; what the cluster has; whether all its nodes see the store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from w2s_ray.core.errors import ResourceError, StoreError
from w2s_ray.engine.store import open_store

OBJECT_STORE_BYTES = 100 * 2**20  # results go through the store, not through Ray's objects

LOCALLY = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # of machines that announce their leave: a process more for each gang
    # Ray gives its workers way to everything else, so that beside another job a study took five times as long.
    "RAY_worker_niceness": "0",
}

# What a worker of a remote cluster needs to know; its own machine knows the rest.
FORWARDED = (
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_HOME",
    "W2S_CACHE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
)


def join(address: str | None, verbose: bool) -> bool:
    """Connect to a cluster, or start a local Ray when no address is given (`RAY_ADDRESS` counts as one). Returns
    whether it is local.

    A bare `ray.init()` may join a dead cluster left in Ray's temporary folder, hence "local".
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local = address == "local"
    runtime_env: dict[str, Any] = (
        {}
        if local
        else {
            "py_modules": [str(Path(__file__).parents[1])],
            "env_vars": {k: os.environ[k] for k in FORWARDED if k in os.environ},
        }
    )
    options: dict[str, Any] = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False} if local else {}
    level = logging.INFO if verbose else logging.ERROR
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    try:
        with _settings(local):
            ray.init(address=address, log_to_driver=verbose, logging_level=level, runtime_env=runtime_env, **options)
    except ConnectionError as error:
        raise ResourceError(
            f"no Ray cluster answers at {address!r}: {error}; check `ray status` there and that RAY_AUTH_TOKEN (or"
            " ~/.ray/auth_token) is the same on both sides; or leave --address out for a local Ray"
        ) from error
    return local


@contextmanager
def _settings(local: bool) -> Iterator[None]:
    """Start a local Ray with settings that are right where there is this machine alone.

    What starts here inherits the variables. Afterwards they are as they were, for a cluster that this process starts or
    joins later is another matter.
    """
    new = {name: value for name, value in LOCALLY.items() if local and name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def totals() -> dict[str, float]:
    """Devices of all living nodes."""
    have = ray.cluster_resources()
    return {"CPU": have.get("CPU", 0.0), "GPU": have.get("GPU", 0.0), "memory": have.get("memory", 0.0)}


def largest_node() -> dict[str, float]:
    """The most that one living node has of each device."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in ("CPU", "GPU", "memory")}


def check_store_is_shared(url: str) -> None:
    """On several nodes, a store on a local path must be one that all of them mount: a file written here must be seen
    there."""
    store = open_store(url)
    others = [
        node["NodeID"]
        for node in ray.nodes()
        if node["Alive"]
        and node["NodeID"] != ray.get_runtime_context().get_node_id()
        and node["Resources"].get("CPU", 0)
    ]
    if not store.local or not others:
        return
    name = f"drivers/token-{uuid4().hex}"
    store.write(name, b"")
    try:
        look = ray.remote(num_cpus=0)(os.path.exists)
        seen = ray.get(
            [
                look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                    f"{store.root}/{name}"
                )
                for node in others
            ],
            timeout=60,
        )
    finally:
        store.remove(name)
    if not all(seen):
        raise StoreError(
            f"{seen.count(False)} of {len(others) + 1} nodes do not see the store {url}; give one that all nodes share:"
            " --store s3://…, gs://… or a path on a shared disk"
        )


def try_out(url: str) -> str:
    """Start or join Ray, run a task, say what there is."""
    local = join(None, verbose=False)
    try:
        check_store_is_shared(url)
        version = ray.get(ray.remote(num_cpus=1)(_version).remote(), timeout=120)
        have = totals()
    finally:
        ray.shutdown()
    return f"{'a local Ray' if local else 'the cluster'} {version} runs tasks; {have['CPU']:g} CPU, {have['GPU']:g} GPU"


def _version() -> str:
    return str(ray.__version__)
