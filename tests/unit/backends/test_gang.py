"""A gang of one, and what tells a lost process from a mistake. Gangs of two are in test_sharded.py."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from w2s_ray.backends.devices.gang import ALONE, join_gang, lost_peers
from w2s_ray.core.errors import PeerLost

CPU = torch.device("cpu")


def test_a_gang_of_one_needs_nobody() -> None:
    rows = torch.arange(6.0).view(3, 2)
    gathered, mine = ALONE.gather(rows)
    assert torch.equal(gathered, rows)
    assert mine.tolist() == [0, 1, 2]
    assert ALONE.leaders([True, False], CPU) == [True, False]
    assert ALONE.least(3.5, CPU) == 3.5
    assert ALONE.each(2.5, CPU) == [2.5]
    assert torch.equal(ALONE.sum(rows.clone()), rows)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[/build/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:5: Connection reset by"
            " peer"
        ),
        dist.DistBackendError("NCCL communicator was aborted on rank 1"),
        dist.DistNetworkError("The client socket has failed to connect"),
    ],
)
def test_a_message_that_fails_means_a_lost_peer(error: RuntimeError) -> None:
    with pytest.raises(PeerLost), lost_peers():
        raise error


def test_a_group_that_was_taken_down_means_a_lost_peer() -> None:
    """Ray Train does that before it resizes a gang, while the fit still runs."""
    assert join_gang(CPU).size == 1
    with pytest.raises(PeerLost, match="ValueError: Default process group"), lost_peers():
        dist.destroy_process_group()
        dist.all_reduce(torch.zeros(1))


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("gloo/")])
def test_other_errors_are_mistakes(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)[:5]), lost_peers():
        raise error
