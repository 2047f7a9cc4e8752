"""A fit by a gang, for torchrun or plain Python: `gang_fit.py MODEL FOLDER SETTINGS-AS-JSON`; the leader writes what came of it.

SETTINGS: recipe, resources, die_after (steps, after which the last rank is killed), rows.
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
from toy_rows import Place, toy  # noqa: E402

from w2s_ray.backends.sharded import fit_sharded  # noqa: E402
from w2s_ray.config.recipe import Recipe  # noqa: E402
from w2s_ray.core.resources import Resources  # noqa: E402


def main(model: str, folder: Path, settings: dict[str, Any]) -> None:
    data, labels = toy(settings.get("rows", 101))

    def progress(state: dict[str, Any]) -> None:
        if state["step"] == settings.get("die_after") and dist.get_rank() == dist.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    resources = Resources(**settings["resources"])
    fitted = fit_sharded(data, [labels], model, Recipe(**settings["recipe"]), resources, Place(folder), folder / "cache", progress)
    probs, features = fitted.predict(data).probs_NK, fitted.embed(data).array_ND
    fitted.save(folder / "saved")
    parts = [int(getattr(p, "ds_tensor", p).numel()) for p in fitted.classifier.parameters()]
    if dist.get_rank() == 0:
        np.savez(
            folder / "result.npz",
            probs=probs,
            features=features,
            losses=[point["loss"] for point in fitted.log],
            parts=parts,
            resumed_at=fitted.facts["resumed_at"],
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
