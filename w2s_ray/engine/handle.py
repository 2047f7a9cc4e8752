"""`Handle`: a result that may not exist yet; `Node`: its entry in the run's table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from w2s_ray.core.errors import DamagedArtifact, StepFailed
from w2s_ray.core.resources import Resources
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.lease import Holder
from w2s_ray.engine.record import Record
from w2s_ray.engine.step import Handling, Step
from w2s_ray.engine.store import Artifact

HandleInputs = Mapping[str, "Handle | tuple[Handle, ...]"]

POLL_MIN_S = 0.2  # first interval between polls of a key that another driver makes
REPAIRS = 2  # how often a damaged artifact is made again before the run gives up


@dataclass(eq=False)
class Node:
    """A key of this run and how to make it."""

    key: Key
    step: Step
    params: dict[str, Any]
    inputs: dict[str, Any]  # name -> Handle or tuple of Handles
    resources: Resources
    handling: Handling = field(default_factory=Handling)
    future: Future[Record] = field(default_factory=Future)
    owner: Node | None = None  # riders are made by their owner
    riders: dict[Key, Node] = field(default_factory=dict)  # requested and not yet made
    running: tuple[Node, ...] | None = None  # the riders of the call in flight
    began: float | None = None  # when that call began, by the monotonic clock; until then it waits for devices
    poll_s: float = POLL_MIN_S
    holder: Holder | None = None  # the other driver, which held the lease
    maker: Node | None = None  # the step that publishes it, where it has none of its own

    def handles(self) -> Iterable[Handle]:
        for handle in self.inputs.values():
            yield from (handle,) if isinstance(handle, Handle) else handle


@dataclass(frozen=True)
class Submission:
    """A key and what it is made from."""

    key: Key
    params: dict[str, Any]
    inputs: dict[str, Any]
    version: int
    there: bool
    resources: Resources = field(default_factory=Resources)
    rides: bool = False  # made by another step's call


@dataclass(frozen=True)
class RiderSpec:
    """A rider that is requested from `submit`; the owner's key joins its inputs under `via`."""

    step: Step
    params: dict[str, Any]
    inputs: HandleInputs
    via: str = "model"


class Opener(Protocol):
    """What a handle needs of the run that it belongs to."""

    def open(self, key: Key) -> Artifact:
        """The files of a finished step; DamagedArtifact where they are not what was written."""

    def repair(self, damaged: DamagedArtifact) -> None:
        """Have them made again."""


@dataclass(frozen=True)
class Handle:
    """A result that may not exist yet. Reading it waits; passing it on does not."""

    _run: Opener
    node: Node

    @property
    def key(self) -> Key:
        return self.node.key

    def record(self) -> Record:
        """The record, when there is one; raises what the step raised."""
        return self.node.future.result()

    @property
    def value(self) -> dict[str, Any]:
        """The step's small result."""
        return self.record().value

    def artifact(self) -> Artifact:
        """The files; a damaged artifact is set aside, reported, and made again."""
        for _ in range(REPAIRS + 1):
            self.record()
            try:
                return self._run.open(self.key)
            except DamagedArtifact as damaged:
                self._run.repair(damaged)
        raise StepFailed(
            self.node.step.name, str(self.key), "its files are damaged each time they are made; check the disk"
        )


def needs(node: Node, other: Node) -> bool:
    """Whether an input of a rider, besides its owner itself, depends on `other`."""
    waiting = [handle.node for handle in node.handles() if handle.node is not other]
    seen: set[int] = set()
    while waiting:
        here = waiting.pop()
        if here is other or here.owner is other:
            return True
        if id(here) not in seen and not here.future.done():
            seen.add(id(here))
            waiting += [handle.node for handle in here.handles()] + ([here.owner] if here.owner else [])
    return False


def keys_of(inputs: Mapping[str, Any]) -> dict[str, Key | tuple[Key, ...]]:
    return {name: h.key if isinstance(h, Handle) else tuple(x.key for x in h) for name, h in inputs.items()}
