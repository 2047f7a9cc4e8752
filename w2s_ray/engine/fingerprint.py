"""Identity: canonical JSON of a step's parameters and the keys of its inputs, hashed.

The canonicaliser raises on what has no stable identity (callables, objects, NaN); there is no fallback to `str()`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from w2s_ray.core.errors import IdentityError

Params = Mapping[str, Any]
HASH_SHOWN = 12
_KEY = re.compile(r"([a-z0-9_-]+)/([a-z0-9.][a-z0-9.-]*)-([0-9a-f]{64})")
SHOWN_KEY = re.compile(rf"[a-z0-9_-]+/[a-z0-9.][a-z0-9.-]*-[0-9a-f]{{{HASH_SHOWN}}}")  # as results.json has it


def canonical(value: Any, where: str = "params") -> Any:
    """The value in plain JSON types with sorted keys, or an IdentityError that names the offending entry."""
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise IdentityError(f"{where} is {value}; only finite numbers have an identity")
        return value + 0.0  # -0.0 becomes 0.0
    if isinstance(value, (list, tuple)):
        return [canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise IdentityError(f"{where} has the key {key!r}; keys must be strings")
        return {key: canonical(value[key], f"{where}.{key}") for key in sorted(value)}
    raise IdentityError(
        f"{where} is a {type(value).__name__} ({value!r:.80}), which has no stable identity; pass plain numbers,"
        " strings, lists and dicts"
    )


def digest(value: Any) -> str:
    """sha256 of the canonical JSON."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, order=True)
class Key:
    """The name of an artifact. The slug is for people; the digest alone identifies."""

    step: str
    slug: str
    digest: str

    @property
    def path(self) -> str:
        """Its folder below the store's root."""
        return f"{self.step}/{self.slug}-{self.digest[:HASH_SHOWN]}"

    @property
    def full(self) -> str:
        """The form in records: with the whole digest."""
        return f"{self.step}/{self.slug}-{self.digest}"

    def __str__(self) -> str:
        return self.path

    @staticmethod
    def parse(full: str) -> Key:
        """The inverse of `full`. Any other text is refused, since keys become paths."""
        found = _KEY.fullmatch(full)
        if found is None:
            raise IdentityError(f"{full!r:.120} is not a key; keys are STEP/SLUG-DIGEST, as records name them")
        return Key(*found.groups())


Inputs = Mapping[str, "Key | tuple[Key, ...]"]


def make_key(step: str, version: int, slug: str, params: Params, inputs: Inputs) -> Key:
    """The key of (step, version, parameters, inputs)."""
    keys = {name: key.digest if isinstance(key, Key) else [k.digest for k in key] for name, key in inputs.items()}
    return Key(step, slugify(slug), digest([step, version, dict(params), keys]))


def slugify(text: str) -> str:
    """Letters, digits, dots and dashes; at most 60 characters."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60].rstrip("-.") or "x"
