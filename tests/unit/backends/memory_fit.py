"""How much memory a fit takes, for torchrun or plain Python: `memory_fit.py SMALL LARGE FOLDER SETTINGS-AS-JSON`. Each
process prints a JSON line.

A fit of the small model comes first, so that libraries are loaded; counted is what the large one adds: to memory of its
own while it is loaded, and with the mapped weights while it trains.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from toy_rows import Place, toy  # noqa: E402

from w2s_ray.backends.devices.gang import join_gang  # noqa: E402
from w2s_ray.backends.fit.job import Job  # noqa: E402
from w2s_ray.backends.fit.single import fit  # noqa: E402
from w2s_ray.backends.models.classifier import build_classifier  # noqa: E402
from w2s_ray.backends.sharded.fit import fit_sharded  # noqa: E402
from w2s_ray.backends.sharded.zero import loading, zero_config  # noqa: E402
from w2s_ray.config.recipe import Recipe  # noqa: E402
from w2s_ray.core.resources import Resources  # noqa: E402


def resident(*kinds: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(kinds)) * 1024


class Peak:
    """The most that was there while it watched, above what was there before."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def __enter__(self) -> Peak:
        self.before = self.most = resident(*self.kinds)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.is_set():
            self.most = max(self.most, resident(*self.kinds))
            time.sleep(0.003)

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        return self.most - self.before


def main(small: str, large: str, folder: Path, settings: dict[str, Any]) -> None:
    resources, recipe = Resources(**settings["resources"]), Recipe(**settings["recipe"])
    data, labels = toy(64)
    run = fit_sharded if resources.sharded else fit
    found: dict[str, Any] = {}
    for model in (small, large):
        place = Place(folder / Path(model).name)
        place.folder.mkdir(exist_ok=True, parents=True)
        if resources.zero == 3:
            join_gang(torch.device("cpu"))
            config = zero_config(recipe, 3, "none")
            with Peak("RssAnon") as load, loading(config):
                classifier = build_classifier(model, recipe, 2, ask_causal=False)
            found["load"] = load.bytes
            del classifier
        with Peak("RssAnon", "RssFile") as peak:
            run(Job(data, [labels], model, recipe, resources, place, folder / "cache"))
        found |= {"peak": peak.bytes, "rank": dist.get_rank() if dist.is_initialized() else 0}
    sys.stdout.write(json.dumps(found) + "\n")  # in one piece: the processes share the stream


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
