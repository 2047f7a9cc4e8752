"""Why a process was lost, in our words: Ray's differ by how it was started."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ray.exceptions import LocalRayletDiedError, NodeDiedError, OutOfMemoryError, RayError

from w2s_ray.core.errors import WorkerLost
from w2s_ray.engine.account import Cause

# The first that a message holds decides.
_SAID: tuple[tuple[str, Cause], ...] = (
    ("preempt", "preemption"),
    ("drain", "preemption"),
    ("outofmemory", "out of memory"),
    ("out of memory", "out of memory"),
    ("memory pressure", "out of memory"),
    ("running low on memory", "out of memory"),
    ("noded", "node"),
    ("node died", "node"),
    ("node has died", "node"),
    ("its node", "node"),
    ("node was dead", "node"),
    ("node it was running on", "node"),
    ("node is dead", "node"),
    ("workercrashed", "process"),
    ("worker died", "process"),
    ("worker process has died", "process"),
    ("worker crashed", "process"),
    ("peerlost", "process"),
    ("actordied", "process"),
    ("actor died", "process"),
    ("actor is dead", "process"),
)


def cause_in(text: str) -> Cause:
    """Of what Ray wrote."""
    small = text.lower()
    return next((cause for said, cause in _SAID if said in small), "unknown")


def cause_of(error: RayError) -> Cause:
    """Of what Ray raised."""
    if getattr(error, "preempted", False):
        return "preemption"
    if isinstance(error, OutOfMemoryError):
        return "out of memory"
    if isinstance(error, (NodeDiedError, LocalRayletDiedError)):
        return "node"
    return cause_in(f"{type(error).__name__}: {error}")


def names_one_of(addresses: Iterable[str], text: str) -> bool:
    """Whether a text has one of these addresses, and not merely a longer one that begins so."""
    return any(re.search(rf"(?<![\d.]){re.escape(address)}(?![\d.]*\d)", text) for address in addresses)


def in_a_line(error: RayError, times: int) -> WorkerLost:
    """Of a process that was lost for good."""
    if isinstance(error, LocalRayletDiedError):
        return WorkerLost(
            "Ray has died on the machine where it ran; run the same command again: it goes on from what is finished"
        )
    return WorkerLost.after(times, str(error))
