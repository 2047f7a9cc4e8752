"""Steps that several processes run together and that go wrong on purpose, for tests of the runtime; importable by Ray's
workers."""

from __future__ import annotations

import time
from dataclasses import replace

from w2s_ray.core.errors import OutOfMemory
from w2s_ray.core.watch import Watch
from w2s_ray.engine.execute import Work
from w2s_ray.engine.step import JSON, Step
from w2s_ray.ops import train


def hang(work: Work) -> JSON:
    """The second process stops giving signs; the first one waits for it."""
    import torch.distributed as dist

    work.watch.beat()
    if dist.get_rank() == 1:
        _sleep_for_ever()
    dist.barrier()
    return {}


def _sleep_for_ever() -> None:
    while True:
        time.sleep(0.1)


def greedy(work: Work) -> JSON:
    """Memory that is enough for 500 tokens at once; the longest row has as many as the parameters say."""
    if work.resources.tokens_at_once > 500:
        raise OutOfMemory(work.resources.tokens_at_once, work.params["longest"], "tried to allocate 2 GiB")
    return {"micro_tokens": work.resources.tokens_at_once, "launch": work.call.launch.facts}


HANG = Step("hang", 1, "gang_steps:hang", lambda params, inputs: "x")
GREEDY = Step("greedy", 1, "gang_steps:greedy", lambda params, inputs: f"l{params['longest']}")


class Patient(Watch):
    """Waits after each checkpoint until the gang is complete: the process is then taken by Ray Train, which starts a
    larger gang."""

    def __init__(self, work: Work) -> None:
        self._watch, self._most = work.watch, work.resources.most
        self._saved = False

    def rest(self) -> None:
        self._watch.rest()
        self._saved = True

    def beat(self) -> None:
        import torch.distributed as dist

        if self._saved and dist.get_world_size() < self._most:
            time.sleep(240)
            raise TimeoutError("the gang did not grow")
        self._saved = False
        self._watch.beat()

    def leaving(self) -> bool:
        return self._watch.leaving()


def train_patiently(work: Work) -> JSON:
    """A fit that does not end before all its processes have come."""
    return train.run(replace(work, watch=Patient(work)) if work.resources.sharded else work)


class Slow(Watch):
    """Takes its time with each step, and says when it has begun."""

    def __init__(self, work: Work) -> None:
        self._watch, self._sign = work.watch, work.place.scratch / "training"

    def beat(self) -> None:
        self._sign.touch()
        time.sleep(0.3)
        self._watch.beat()

    def rest(self) -> None:
        self._watch.rest()

    def leaving(self) -> bool:
        return self._watch.leaving()


def train_slowly(work: Work) -> JSON:
    """A fit that is under way for a while, unless it goes on from a checkpoint."""
    slow = work.resources.sharded and work.place.fetch("gang.json") is None
    return train.run(replace(work, watch=Slow(work)) if slow else work)
