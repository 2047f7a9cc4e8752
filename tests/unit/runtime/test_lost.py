"""Ray's words on lost processes, as they were seen (ray 2.60), and ours."""

from __future__ import annotations

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import (
    ActorDiedError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    WorkerCrashedError,
)

from w2s_ray.runtime.lost import cause_in, cause_of, in_a_line, names_one_of


def actor_died(said: str, **more: NodeDeathInfo) -> ActorDiedError:
    return ActorDiedError(ActorDiedErrorContext(class_name="P", actor_id=b"0" * 16, error_message=said, **more))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (WorkerCrashedError(), "process"),
        (actor_died("The actor is dead because its worker process has died."), "process"),
        (actor_died("The actor died because its node has died. Node Id: 12"), "node"),
        (NodeDiedError("Task failed because its node died."), "node"),
        (LocalRayletDiedError(), "node"),
        (OutOfMemoryError("Task was killed due to the node running low on memory."), "out of memory"),
        (RayError("something else"), "unknown"),
    ],
)
def test_a_lost_process_has_a_cause(error: RayError, cause: str) -> None:
    assert cause_of(error) == cause


def test_a_preempted_one_is_told_apart() -> None:
    preempted = NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)
    assert cause_of(actor_died("its node has died.", node_death_info=preempted)) == "preemption"
    assert cause_in("ray.exceptions.NodeDiedError: the node was preempted") == "preemption"
    assert cause_in("PeerLost: another process is gone") == "process"


def test_a_line_says_how_often_and_what_to_do() -> None:
    assert "lost 3 times" in str(in_a_line(WorkerCrashedError(), 3))
    assert "Ray has died on the machine" in str(in_a_line(LocalRayletDiedError(), 1))


def test_an_address_is_not_a_longer_one() -> None:
    said = "the node it was running on is dead or unavailable. Node IP: 10.0.0.12, node ID: ab"
    assert names_one_of(["10.0.0.12"], said)
    assert names_one_of(["10.0.0.12"], "it was 10.0.0.12.")
    assert not names_one_of(["10.0.0.1", "0.0.0.12"], said)
    assert not names_one_of([], said)
