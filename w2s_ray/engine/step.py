"""`Step`: a pure function of parameters and artifacts, with a name and a version; `Call`: one execution of it, in
strings and keys alone.

A step's function takes a `Work` (see `execute.py`) and returns a small JSON value that goes into the record.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from w2s_ray.core.resources import Resources
from w2s_ray.engine.fingerprint import Inputs, Key, Params, make_key

JSON = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Raise `version` when the meaning of the result changes; `steps.lock` reminds of it when the source changed."""

    name: str
    version: int
    entry: str  # "package.module:function"
    slug: Callable[[Params, Inputs], str]  # from the identity alone: a renamed file must not move its results
    inline: bool = False  # small work on data that the driver holds: runs in the driver's process, needs no Ray

    def key(self, params: Params, inputs: Inputs) -> Key:
        return make_key(self.name, self.version, self.slug(params, inputs), params, inputs)


@dataclass(frozen=True)
class Rider:
    """A further result of a step, made while it holds something costly (a loaded model) and stored under a key of its
    own."""

    key: Key
    step: str
    version: int
    params: JSON
    inputs: dict[str, Key | tuple[Key, ...]]


@dataclass(frozen=True)
class Stack:
    """Calls of one group may be computed as one, by a function of several works that returns a value or an error for
    each."""

    group: str
    entry: str  # "package.module:function"


@dataclass(frozen=True)
class Handling:
    """How a call is made. It does not affect the result: no part of any identity."""

    places: Mapping[str, str] = field(default_factory=dict)  # local place of what the identity names by its content
    keep: bool = False  # also what nothing has requested yet: a fit's weights
    member: bool = False  # one of many like it, which Ray Tune runs side by side
    stack: Stack | None = None

    def joined(self, other: Handling) -> Handling:
        """The handling that serves both of two submissions of one call."""
        places = {**self.places, **other.places}
        return Handling(places, self.keep or other.keep, self.member or other.member, self.stack or other.stack)


@dataclass(frozen=True)
class Launch:
    """Facts on how a call was launched, for its record; empty where it ran in one process."""

    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One execution of a step, as a worker gets it."""

    store: str
    key: Key
    step: str
    version: int
    entry: str
    params: JSON
    inputs: dict[str, Key | tuple[Key, ...]]
    resources: Resources
    driver: str
    handling: Handling = Handling()
    riders: tuple[Rider, ...] = ()
    launch: Launch = Launch()

    def function(self) -> Callable[..., JSON]:
        """The step's function, imported where it runs."""
        return call_entry(self.entry)

    @property
    def group(self) -> tuple[str, Resources] | None:
        """Calls with equal groups may be computed as one; None for a call that is computed alone."""
        return None if self.handling.stack is None else (self.handling.stack.group, self.resources)


def call_entry(entry: str) -> Callable[..., Any]:
    """The function with the name "package.module:function"."""
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
