"""Records: `Record`, the JSON file whose existence proves that an artifact is whole, and `Failure`, which says why
there is none.

Whatever bytes are found in a store, `loads` returns what was written or raises ValueError: a record begins with the
checksum of the rest of it, its fields have their types, and the names in it stay inside the artifact's folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter

from w2s_ray.engine.fingerprint import Inputs, Key

T = TypeVar("T")

SCHEMA = 2
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
    made_by: str = ""  # key of the step that published it beside its own result (riders, parts of a data set)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    peak_memory_mb: float = 0.0
    versions: dict[str, str] = field(default_factory=lambda: package_versions())
    made_at: str = field(default_factory=lambda: now())
    schema: int = SCHEMA

    def dumps(self) -> bytes:
        return _sealed(asdict(self))

    @staticmethod
    def loads(data: bytes) -> Record:
        record = _opened(data, Record)
        if not _ATTEMPT.fullmatch(record.attempt):
            raise ValueError(f"attempt {record.attempt!r:.80} is not a name")
        for name, facts in record.files.items():
            if not inside(name) or facts.keys() != {"bytes", "sha256"}:
                raise ValueError(f"file {name!r:.80} is not one of an attempt's folder")
        return record


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
        return _sealed(asdict(self))

    @staticmethod
    def loads(data: bytes) -> Failure:
        return _opened(data, Failure)


_ATTEMPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_SEAL = re.compile(rb'\{\n "checksum": "([0-9a-f]{64})",\n')


def inside(name: str) -> bool:
    """Whether a file's name, as a record holds it, can only mean a file below the folder that it is joined to."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and not re.search(r"[\\\x00]", name)


def whole(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _sealed(fields: dict[str, Any]) -> bytes:
    """As JSON, of which the first key is the checksum of all bytes after it."""
    text = json.dumps(fields, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    rest = whole(text).encode().removeprefix(b"{\n")
    return b'{\n "checksum": "%s",\n' % hashlib.sha256(rest).hexdigest().encode() + rest


def _opened(data: bytes, kind: type[T]) -> T:
    """The inverse of `_sealed`; ValueError where a byte or a type is not what was written."""
    seal = _SEAL.match(data)
    if seal is None or hashlib.sha256(data[seal.end() :]).hexdigest().encode() != seal[1]:
        raise ValueError("the checksum does not match")
    found: T = _reader(cast("Any", kind)).validate_json(b"{" + data[seal.end() :])
    return found


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    # The attribute in which pydantic looks for a dataclass's config.
    kind.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return TypeAdapter(kind)


def key_names(inputs: Inputs) -> dict[str, Any]:
    """Input keys as a record holds them."""
    return {name: key.full if isinstance(key, Key) else [k.full for k in key] for name, key in inputs.items()}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


_VERSIONS: dict[str, str] = {}


def package_versions() -> dict[str, str]:
    """Versions of the packages that compute, read from metadata once a process, without importing them."""
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
