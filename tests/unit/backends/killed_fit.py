"""A fit that is killed by SIGKILL after so many steps: `python killed_fit.py MODEL FOLDER LOSS STEPS`. With STEPS 0 it
runs to its end and writes the result."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from toy_rows import Place, toy

from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.resources import Resources

RECIPE: dict[str, Any] = {"lr": 3e-3, "epochs": 3, "batch": 16, "bucket": 2, "dropout": True, "warmup": 0.1, "seed": 7}


def main(model: str, folder: Path, loss: str, die_after: int) -> None:
    data, labels = toy(100)
    place = Place(folder)

    def progress(state: dict[str, Any], curve: object) -> None:
        # The step's own checkpoint follows this report: dying here loses a step, as a real death does.
        if state["step"] == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    recipe = Recipe(loss={"type": "logconf", "compat": "eleuther"} if loss == "logconf" else loss, **RECIPE)
    fitted = fit(
        Job(
            data,
            [labels],
            model,
            recipe,
            Resources(checkpoint_every_s=1e-9, micro_tokens=64),
            place,
            folder / "cache",
            progress,
        )
    )
    np.savez(
        folder / "result.npz",
        probs=fitted.predict(data).probs_NK,
        losses=[point["loss"] for point in fitted.log],
        resumed_at=[entry["step"] for entry in fitted.facts["resumed"]],
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
