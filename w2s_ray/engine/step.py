"""`Step`: a pure function of parameters and artifacts, with a name and a version; `Call`: one execution of it, in
strings and keys alone.

A step's function takes a `Work` (see `execute.py`) and returns a small JSON value that goes into the record.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from w2s_ray.core.resources import Resources
from w2s_ray.engine.fingerprint import Inputs, Key, Params, make_key

JSON = dict[str, Any]

TOGETHER, GROUP = (
    "together",
    "group",
)  # hints: the function that computes several calls at once, and what those have in common


@dataclass(frozen=True)
class Step:
    """Raise `version` when the meaning of the result changes; `steps.lock` reminds of it when the source changed."""

    name: str
    version: int
    entry: str  # "package.module:function"
    slug: Callable[[Params, Inputs], str]  # of the identity alone: a renamed file must not change where its results lie
    inline: bool = False  # small work on data that the driver holds: runs in the driver's process, needs no Ray

    def key(self, params: Params, inputs: Inputs) -> Key:
        return make_key(self.name, self.version, self.slug(params, inputs), params, inputs)


@dataclass(frozen=True)
class Rider:
    """A result that a step makes on the way while it holds what is costly (a model), stored under a key of its own."""

    key: Key
    step: str
    version: int
    params: JSON
    inputs: dict[str, Key | tuple[Key, ...]]


@dataclass(frozen=True)
class Call:
    """What a worker gets. `hints` say how and where, and are no part of the identity: folders of local models, whether
    to keep weights."""

    store: str
    key: Key
    step: str
    version: int
    entry: str
    params: JSON
    inputs: dict[str, Key | tuple[Key, ...]]
    resources: Resources
    driver: str
    hints: JSON = field(default_factory=dict)
    riders: tuple[Rider, ...] = ()

    def function(self) -> Callable[..., JSON]:
        """The step's function, imported where it runs."""
        return call_entry(self.entry)

    @property
    def group(self) -> tuple[Any, ...] | None:
        """Calls that are alike in this may be computed together; None where there is no gain in that."""
        return (self.hints[GROUP], self.resources) if GROUP in self.hints else None


def call_entry(entry: str) -> Callable[..., Any]:
    """The function that "package.module:name" means."""
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
