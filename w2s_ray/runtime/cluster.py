"""Starting, joining and leaving Ray; what the cluster has; whether all its nodes see the store."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray._private.state
from ray._private import ray_constants
from ray._private.ray_constants import ENABLE_RAY_CLUSTERS_ENV_VAR
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.exceptions import RayError

from w2s_ray.config.place import joinable
from w2s_ray.core.errors import ResourceError
from w2s_ray.core.secrets import redacted

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 100 * 2**20  # results go through the store, not through Ray's objects

LOCALLY = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # of machines that announce their leave: a process more for each gang
    # Ray gives its workers way to everything else, so that beside another job a study took five times as long.
    "RAY_worker_niceness": "0",
    # Despite its name: "0" makes Ray listen on the loopback interface alone, on Linux too.
    ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
}

# How the names of variables begin that the workers of a cluster get from the driver's machine.
FORWARDED = ("HF_", "W2S_", "AWS_", "GOOGLE_", "AZURE_", "FSSPEC_")
REACH_S = 5.0  # for a connection to a cluster's head


@dataclass(frozen=True)
class Target:
    """The Ray that is meant, and what its workers get."""

    address: str | None = None  # none: RAY_ADDRESS, else a local Ray is started
    verbose: bool = False
    env: Mapping[str, str] = field(default_factory=dict)  # variables of the workers, beside those of FORWARDED
    autoscale: bool = False  # the cluster adds machines for what none can hold yet


def join(target: Target) -> bool:
    """Connect to a cluster, or start a local Ray. Returns whether it is local.

    A bare `ray.init()` may join a dead cluster left in Ray's temporary folder, hence "local".
    """
    if ray.is_initialized():
        raise ResourceError(_held())
    address, verbose = joinable(target.address) or "local", target.verbose
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local = address == "local"
    given = {**({} if local else forwarded(os.environ)), **target.env}
    runtime_env = for_workers({"env_vars": given} | ({} if local else {"py_modules": [package()]}), os.environ)
    options: dict[str, Any] = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False} if local else {}
    level = logging.INFO if verbose else logging.ERROR
    if not verbose:
        ray._private.worker.print_to_stdstream = _tell_aside
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    _check_reachable(address)
    try:
        with _settings(local):
            ray.init(address=address, log_to_driver=verbose, logging_level=level, runtime_env=runtime_env, **options)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ResourceError(_refused(address, redacted(str(error), {**os.environ, **given}))) from None
    return local


def _tell_aside(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """What Ray tells of dead processes, to standard error: standard output is the table's, or a program's."""
    os.write(2, "".join(f"{line}\n" for line in data["lines"]).encode(errors="replace"))


_left: list[bool] = []  # whether this process has a Ray that cannot be ended before it


def leave_as_it_is() -> None:
    """This process's Ray stays up to its end: a thread that goes on asking it would end the process with it."""
    _left.append(True)


def _held() -> str:
    """Why no other Ray can be started in this process."""
    if _left:
        return (
            "a run that was stopped in this process, while members of an ensemble or a spread fit were trained, still"
            " holds its Ray; start the process (of a notebook: the kernel) anew, and the same call continues"
        )
    return (
        "this process has a Ray already, its own or that of another run; wait for that run, or call ray.shutdown()"
        " first (with local=True a run needs none)"
    )


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return  # "local" or "auto"
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise ResourceError(_refused(address, str(error))) from None


def package() -> str:
    """The folder of this package: workers of a cluster import the same code as their driver."""
    return str(Path(__file__).parents[1])


def forwarded(environ: Mapping[str, str]) -> dict[str, str]:
    """What the workers of another machine need to know of this one's environment."""
    return {name: value for name, value in environ.items() if name.startswith(FORWARDED)}


def for_workers(runtime_env: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Without what the job that this driver is the entrypoint of gives them already: Ray refuses what both set."""
    job = json.loads(environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR) or "{}").get("runtime_env") or {}
    variables = {k: v for k, v in runtime_env.get("env_vars", {}).items() if k not in job.get("env_vars", {})}
    rest = {name: value for name, value in runtime_env.items() if name not in job and name != "env_vars"}
    return rest | ({"env_vars": variables} if variables else {})


def _refused(address: str, why: str) -> str:
    """What Ray said, with the remedy."""
    said = " ".join(why.split()) or "no reason given"
    if "Version mismatch" in why:
        return (
            f"the Ray cluster at {address!r} has other versions than this machine: {said}; Ray and Python must be equal"
            " to the last digit on all machines"
        )
    if re.search("authenticat|auth.?token", why, re.IGNORECASE):
        return (
            f"the Ray cluster at {address!r} refuses this machine's token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN"
            " or RAY_AUTH_TOKEN_PATH to the cluster's token"
        )
    if address == "local":
        return f"a local Ray does not start: {said}; `w2s doctor --ray` looks for the cause, --local goes without Ray"
    return f"no Ray cluster answers at {address!r}: {said}; check `ray status` there, or leave --address out"


@contextmanager
def _settings(local: bool) -> Iterator[None]:
    """Start a local Ray with settings that are right where there is this machine alone.

    What starts here inherits the variables. Afterwards they are as they were, for a cluster that this process starts or
    joins later is another matter.
    """
    new = {name: value for name, value in LOCALLY.items() if local and name not in os.environ}
    clusters = ray_constants.ENABLE_RAY_CLUSTER  # read from the environment when Ray was imported
    os.environ.update(new)
    ray_constants.ENABLE_RAY_CLUSTER = clusters and ENABLE_RAY_CLUSTERS_ENV_VAR not in new
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        for name in new:
            del os.environ[name]


def nodes() -> list[dict[str, Any]]:
    """The living ones, with their devices and labels."""
    return [node for node in ray.nodes() if node["Alive"]]


def leaving(living: Iterable[dict[str, Any]]) -> set[str]:
    """The addresses of living nodes that will be taken away."""
    draining = draining_nodes()
    return {node["NodeManagerAddress"] for node in living if node["NodeID"] in draining}


def draining_nodes() -> Collection[str]:
    """The ids of nodes that will be taken away; none where the head does not answer just now."""
    try:
        found: dict[str, int] = ray._private.state.state.get_draining_nodes()  # as Ray Train's own watcher asks
    except Exception:
        logger.debug("which nodes will be taken away is not known now", exc_info=True)
        return ()
    return found
