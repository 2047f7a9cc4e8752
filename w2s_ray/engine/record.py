"""Records: the one JSON file whose existence says that an artifact is whole, and the one that says why there is none."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from w2s_ray.engine.fingerprint import Inputs, Key

SCHEMA = 1
PACKAGES = ("w2s_ray", "torch", "transformers", "ray", "numpy")


@dataclass(frozen=True)
class Record:
    """All that is known of an artifact besides its bytes."""

    key: str
    step: str
    version: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    attempt: str
    files: dict[str, dict[str, Any]]  # relative path -> {"bytes", "sha256"}
    value: dict[str, Any]  # the step's small result
    seconds: float = 0.0
    resources: dict[str, Any] = field(default_factory=dict)
    made_by: str = ""  # the key of the step that made this on its way, for riders and the parts of a data set
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    peak_memory_mb: float = 0.0
    versions: dict[str, str] = field(default_factory=lambda: package_versions())
    made_at: str = field(default_factory=lambda: now())
    schema: int = SCHEMA

    def dumps(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False).encode()

    @staticmethod
    def loads(data: bytes) -> Record:
        return Record(**json.loads(data))


@dataclass(frozen=True)
class Failure:
    """Why the last attempt at an artifact ended without one. A later run tries again."""

    key: str
    attempt: str
    driver: str
    error: str
    traceback: str
    log: str = ""
    host: str = field(default_factory=socket.gethostname)
    made_at: str = field(default_factory=lambda: now())
    schema: int = SCHEMA

    def dumps(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @staticmethod
    def loads(data: bytes) -> Failure:
        return Failure(**json.loads(data))


def key_names(inputs: Inputs) -> dict[str, Any]:
    """Input keys as a record holds them."""
    return {name: key.full if isinstance(key, Key) else [k.full for k in key] for name, key in inputs.items()}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


_VERSIONS: dict[str, str] = {}


def package_versions() -> dict[str, str]:
    """Versions of what computes; read from metadata once a process, without importing anything."""
    if not _VERSIONS:
        _VERSIONS["python"] = platform.python_version()
        for package in PACKAGES:
            try:
                _VERSIONS[package] = version(package)
            except PackageNotFoundError:
                continue
    return dict(_VERSIONS)


def peak_memory_mb() -> float:
    """The largest resident size of this process so far."""
    import resource  # not on every platform

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
