"""A fit by two processes under torchrun is the fit on one device: losses of every step, predictions, features and the saved folder.

The real DeepSpeed, on CPU processes over gloo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_rows import WORDS, Place, toy

from w2s_ray.backends.fit import fit
from w2s_ray.backends.fitted import load_fitted
from w2s_ray.backends.scratch import build_scratch
from w2s_ray.backends.sharded import deal
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.resources import Resources

HERE = Path(__file__).parent
ROWS = 101  # neither batches nor processes divide them
RECIPE: dict[str, Any] = {"lr": 3e-3, "epochs": 2, "batch": 16, "bucket": 2, "warmup": 0.1, "seed": 7}
RESOURCES: dict[str, Any] = {"micro_tokens": 64, "workers": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_scratch(tmp_path_factory.mktemp("model") / "m", WORDS, hidden=32, layers=2, heads=2, ffn=64, seed=0, init_std=0.1)


def run_gang(folder: Path, model: Path, size: int = 2, recipe: dict[str, Any] = RECIPE, check: bool = True, **settings: Any) -> dict[str, np.ndarray]:
    """What the gang's leader wrote."""
    resources = RESOURCES | {"workers": size} | settings.pop("resources", {})
    arguments = [str(model), str(folder), json.dumps({"recipe": recipe, "resources": resources, "rows": ROWS, **settings})]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        str(size),
        "--master_port",
        "0",
        "--rdzv_backend",
        "c10d",
        "--rdzv_endpoint",
        "localhost:0",
    ]
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), "DS_ACCELERATOR": "cpu"}
    ended = subprocess.run([*launcher, str(HERE / "gang_fit.py"), *arguments], env=environment, capture_output=True, text=True, timeout=250)
    assert not check or ended.returncode == 0, ended.stderr[-3000:]
    return dict(np.load(folder / "result.npz")) if (folder / "result.npz").is_file() else {}


def alone(folder: Path, model: Path, recipe: dict[str, Any]) -> dict[str, np.ndarray]:
    data, labels = toy(ROWS)
    fitted = fit(data, [labels], str(model), Recipe(**recipe), Resources(micro_tokens=64), Place(folder), folder / "cache")
    return {"losses": np.array([point["loss"] for point in fitted.log]), "probs": fitted.predict(data).probs_NK, "features": fitted.embed(data).array_ND}


def assert_same(gang: dict[str, np.ndarray], one: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    for name in ("losses", "probs"):
        np.testing.assert_allclose(gang[name], one[name], rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(gang["features"], one["features"], rtol=0, atol=10 * tolerance)  # of size 2, where probabilities are below 1


QUICK = [("full", 2, "none"), ("lora", 3, "optimizer")]
REST = [
    ("full", 0, "none"),
    ("full", 1, "none"),
    ("full", 3, "none"),
    ("full", 3, "optimizer"),
    ("lora", 0, "none"),
    ("lora", 1, "none"),
    ("lora", 2, "none"),
    ("lora", 3, "none"),
]
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]


@pytest.mark.parametrize(("adapt", "zero", "offload"), CASES)
def test_two_processes_make_the_fit_of_one(tmp_path: Path, model: Path, adapt: str, zero: int, offload: str) -> None:
    recipe = RECIPE | {"adapt": adapt}
    one = alone(tmp_path, model, recipe)
    gang = run_gang(tmp_path / "gang", model, recipe=recipe, resources={"zero": zero, "offload": offload})
    assert_same(gang, one)
    assert np.ptp(one["losses"]) > 0.05  # it learned something, so that equal losses say something
    data, _ = toy(ROWS)
    loaded = load_fitted(tmp_path / "gang" / "saved", str(model))
    np.testing.assert_allclose(loaded.predict(data).probs_NK, one["probs"], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [{"type": "logconf", "compat": "openai"}, {"type": "logconf", "compat": "eleuther"}])
def test_a_loss_that_looks_at_the_whole_batch_sees_all_of_it(tmp_path: Path, model: Path, loss: dict[str, Any]) -> None:
    recipe = RECIPE | {"loss": loss}
    assert_same(run_gang(tmp_path / "gang", model, recipe=recipe), alone(tmp_path, model, recipe))


def test_stage_3_holds_half_of_every_weight(tmp_path: Path, model: Path) -> None:
    gang = run_gang(tmp_path / "gang", model, resources={"zero": 3}, recipe=RECIPE | {"epochs": 1})
    total = sum(p.numel() for p in load_fitted(tmp_path / "gang" / "saved", str(model)).classifier.parameters())
    assert total / 2 <= gang["parts"].sum() <= total / 2 + len(gang["parts"])  # each tensor's halves are rounded up


@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 2, 3])
@pytest.mark.parametrize(("size", "size_after"), [(2, 2), (2, 1), (1, 2)])
def test_a_gang_that_lost_a_process_goes_on_whatever_its_size(tmp_path: Path, model: Path, zero: int, size: int, size_after: int) -> None:
    resources = {"zero": zero, "checkpoint_every_s": 1e-9}
    whole = run_gang(tmp_path / "whole", model, size_after, resources=resources)
    broken = tmp_path / "broken"
    assert run_gang(broken, model, size, check=False, die_after=6, resources=resources) == {}
    ended = run_gang(broken, model, size_after, resources=resources)
    assert ended["resumed_at"] == 5  # dying comes after the report of a step and before its checkpoint
    tolerance = 0 if size == size_after else 1e-5
    np.testing.assert_allclose(ended["losses"], whole["losses"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(ended["probs"], whole["probs"], rtol=0, atol=tolerance)


def test_rows_are_dealt_once_each_and_evenly() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 103)
    rows = np.arange(7, 103)
    dealt = deal(rows, lengths, 4)
    assert sorted(np.concatenate(dealt)) == rows.tolist()
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    totals = [lengths[part].sum() for part in dealt]
    assert max(totals) - min(totals) <= lengths.max()
