"""Fits by a gang, for torchrun or plain Python: `gang_fit.py MODEL FOLDER FITS-AS-JSON`; the leader writes what came of
each to FOLDER/its name.

Each of FITS: name, recipe, resources, rows, kind of rows (default: text), load (what was saved, and the base model's
features), die_after (steps, or `saved`: with the first checkpoint; the last rank is then killed), die_keeping (files of
its checkpoints, the last of which it dies over), leaving (a notice from the start).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch.distributed as dist  # noqa: E402
from toy_rows import TOYS, Place, numbers  # noqa: E402

from w2s_ray.backends.fit.job import Job  # noqa: E402
from w2s_ray.backends.sharded.fit import embed_sharded, fit_sharded, load_sharded  # noqa: E402
from w2s_ray.config.recipe import Recipe  # noqa: E402
from w2s_ray.core.resources import Resources  # noqa: E402
from w2s_ray.core.watch import Watch  # noqa: E402


class Deadly(Place):
    """Keeping so many files kills the process, after the file is written and before it is kept."""

    left = 10**9

    def keep(self, name: str, file: Path) -> None:
        Deadly.left -= 1
        if Deadly.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().keep(name, file)


class Leaving(Watch):
    """Whoever asks must leave."""

    def leaving(self) -> bool:
        return True


def run(model: str, folder: Path, settings: dict[str, Any]) -> None:
    kind = settings.get("kind", "text")
    data, labels = TOYS[kind](settings.get("rows", 101))
    folder.mkdir(exist_ok=True)
    leads_last = int(os.environ.get("RANK", "0")) == int(os.environ.get("WORLD_SIZE", "1")) - 1

    def progress(state: dict[str, Any], curve: object) -> None:
        saved = settings.get("die_after") == "saved" and (folder / "gang.json").exists()
        if (saved or state["step"] == settings.get("die_after")) and leads_last:
            os.kill(os.getpid(), signal.SIGKILL)

    if "die_keeping" in settings and leads_last:
        Deadly.left = settings["die_keeping"]
    resources, recipe = Resources(**settings["resources"]), Recipe(**settings["recipe"])
    watch = Leaving() if settings.get("leaving") else Watch()
    fitted = fit_sharded(
        Job(data, [labels], model, recipe, resources, Deadly(folder), folder / "cache", progress, watch)
    )
    probs = numbers(fitted.predict(data))
    features = np.zeros((1, 1)) if kind == "choice" else fitted.embed(data).array_ND
    fitted.save(folder / "saved")
    parts = [int(getattr(p, "ds_tensor", p).numel()) for p in fitted.reader.parameters()]
    more: dict[str, Any] = {}
    if settings.get("load"):
        loaded = load_sharded(folder / "saved", model, resources, folder / "cache")
        base = embed_sharded(
            model, data, recipe.model_copy(update={"layer": 1, "pooling": "mean"}), resources, folder / "cache"
        )
        more = {"loaded": numbers(loaded.predict(data)), "base": base.array_ND}
    if dist.get_rank() == 0:
        resumed_at = [entry["step"] for entry in fitted.facts["resumed"]]
        losses = [point["loss"] for point in fitted.log]
        more |= {"looks": [one["score"] for one in fitted.facts.get("evaluations", ())]}
        np.savez(
            folder / "result.npz",
            probs=probs,
            features=features,
            losses=losses,
            parts=parts,
            resumed_at=resumed_at,
            **more,
        )


if __name__ == "__main__":
    for one in json.loads(sys.argv[3]):
        run(sys.argv[1], Path(sys.argv[2]) / one["name"], one)
    dist.barrier()  # else who is through first ends the others
    dist.destroy_process_group()
    sys.stderr.flush()
    os._exit(0)  # gloo's threads may be alive still, and would abort the process in its destructors
