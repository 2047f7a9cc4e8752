"""Two processes that meet, as `w2s doctor --address` has it tried on the nodes of a cluster."""

from __future__ import annotations

import socket
import subprocess
import sys

CODE = """
import sys
from w2s_ray.backends.sharded.meet import sum_of_ones
sum_of_ones("gloo", sys.argv[1], int(sys.argv[2]), 2, {limit})
"""


def meet(ranks: tuple[int, ...], limit: float) -> list[tuple[int, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    code = CODE.format(limit=limit)
    started = [
        subprocess.Popen([sys.executable, "-c", code, where, str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in ranks
    ]
    return [(process.wait(timeout=120), process.communicate()[1]) for process in started]


def test_two_that_meet_have_the_sum() -> None:
    assert [code for code, _ in meet((0, 1), 60)] == [0, 0]


def test_one_that_nobody_meets_gives_up() -> None:
    ((code, said),) = meet((0,), 3)
    assert code == 1
    assert "imed out" in said or "imeout" in said
