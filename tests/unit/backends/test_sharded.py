"""A fit by two processes under torchrun is the fit on one device: losses of every step, predictions, features and the
saved folder.

The real DeepSpeed, on CPU processes over gloo.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launch import torchrun
from toy_rows import TOYS, WORDS, Place, numbers, toy

from w2s_ray.backends.fit.fitted import load_fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.backends.inference.embed import embed_base
from w2s_ray.backends.models.scratch import build_scratch
from w2s_ray.backends.sharded.fit import deal, files_of
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.resources import Resources

HERE = Path(__file__).parent
ROWS = 101  # neither batches nor processes divide them
RECIPE: dict[str, Any] = {"lr": 3e-3, "epochs": 2, "batch": 16, "bucket": 2, "warmup": 0.1, "seed": 7}
RESOURCES: dict[str, Any] = {"micro_tokens": 64, "workers": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_scratch(
        tmp_path_factory.mktemp("model") / "m", WORDS, hidden=32, layers=2, heads=2, ffn=64, seed=0, init_std=0.1
    )


Found = dict[str, np.ndarray]


def run_gangs(
    folder: Path,
    model: Path,
    fits: list[dict[str, Any]],
    size: int = 2,
    check: bool = True,
    launcher: list[str] | None = None,
) -> list[Found]:
    """What the leader wrote of each fit; one start of the processes serves all."""
    named = [
        {
            "name": f"{n}",
            "rows": ROWS,
            **one,
            "recipe": RECIPE | one.get("recipe", {}),
            "resources": RESOURCES | {"workers": size} | one.get("resources", {}),
        }
        for n, one in enumerate(fits)
    ]
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE), "DS_ACCELERATOR": "cpu"}
    command = [*(launcher or torchrun(size)), str(HERE / "gang_fit.py"), str(model), str(folder), json.dumps(named)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert not check or ended.returncode == 0, ended.stderr[-3000:]
    results = [folder / one["name"] / "result.npz" for one in named]
    return [dict(np.load(path)) if path.is_file() else {} for path in results]


def run_gang(
    folder: Path, model: Path, size: int = 2, check: bool = True, launcher: list[str] | None = None, **settings: Any
) -> Found:
    return run_gangs(folder, model, [settings], size, check, launcher)[0]


def alone(folder: Path, model: Path, recipe: dict[str, Any] = RECIPE, kind: str = "text") -> Found:
    data, labels = TOYS[kind](ROWS)
    fitted = fit(
        Job(data, [labels], str(model), Recipe(**recipe), Resources(micro_tokens=64), Place(folder), folder / "cache")
    )
    losses, looks = (
        np.array(values)
        for values in (
            [point["loss"] for point in fitted.log],
            [one["score"] for one in fitted.facts.get("evaluations", ())],
        )
    )
    features = np.zeros((1, 1)) if kind == "choice" else fitted.embed(data).array_ND
    return {"losses": losses, "probs": numbers(fitted.predict(data)), "features": features, "looks": looks}


def assert_same(gang: Found, one: Found, tolerance: float = 1e-5) -> None:
    for name in ("losses", "probs"):
        np.testing.assert_allclose(gang[name], one[name], rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(
        gang["features"], one["features"], rtol=0, atol=10 * tolerance
    )  # of size 2, where probabilities are below 1


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


@pytest.mark.parametrize("cases", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"])
def test_two_processes_make_the_fit_of_one(tmp_path: Path, model: Path, cases: list[tuple[str, int, str]]) -> None:
    fits = [
        {"recipe": {"adapt": adapt}, "resources": {"zero": zero, "offload": offload}} for adapt, zero, offload in cases
    ]
    ones = {adapt: alone(tmp_path / adapt, model, RECIPE | {"adapt": adapt}) for adapt in ("full", "lora")}
    data, _ = toy(ROWS)
    for n, (case, gang) in enumerate(zip(cases, run_gangs(tmp_path / "gang", model, fits), strict=True)):
        one, saved = ones[case[0]], tmp_path / "gang" / f"{n}" / "saved"
        assert_same(gang, one)
        assert np.ptp(one["losses"]) > 0.05  # it learned something, so that equal losses say something
        loaded = load_fitted(saved, str(model))
        np.testing.assert_allclose(loaded.predict(data).probs_NK, one["probs"], rtol=0, atol=1e-5)
        total = sum(p.numel() for p in loaded.reader.parameters())
        if case[1] == 3:  # each process holds half of every weight; each tensor's halves are rounded up
            assert total / 2 <= gang["parts"].sum() <= total / 2 + len(gang["parts"])
        else:
            assert gang["parts"].sum() == total


@pytest.mark.slow
def test_a_loss_that_looks_at_the_whole_batch_sees_all_of_it(tmp_path: Path, model: Path) -> None:
    losses = [{"type": "logconf", "compat": compat} for compat in ("openai", "eleuther")]
    for loss, gang in zip(
        losses, run_gangs(tmp_path / "gang", model, [{"recipe": {"loss": loss}} for loss in losses]), strict=True
    ):
        assert_same(gang, alone(tmp_path / loss["compat"], model, RECIPE | {"loss": loss}))


@pytest.mark.slow
def test_two_processes_read_every_kind_as_one_does(tmp_path: Path, model: Path) -> None:
    """Worths of texts, likelihoods of candidates, generated answers; and the weights of the best look."""
    check = {"check": {"every": 3, "metric": "log_loss"}}
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("preference", {}, 3),
        ("preference", {"adapt": "lora"}, 1),
        ("choice", {}, 3),
        ("choice", {"adapt": "lora"}, 2),
        ("generation", {"answer_tokens": 3}, 3),
        ("text", check, 3),
        ("text", check | {"adapt": "lora"}, 1),
    ]
    fits = [
        {"kind": kind, "recipe": recipe, "resources": {"zero": zero}, "load": kind in ("preference", "generation")}
        for kind, recipe, zero in cases
    ]
    for n, ((kind, recipe, _), gang) in enumerate(zip(cases, run_gangs(tmp_path / "gang", model, fits), strict=True)):
        one = alone(tmp_path / f"{n}", model, RECIPE | recipe, kind)
        assert_same(gang, one, 1e-4 if kind == "generation" else 1e-5)  # a log probability, of size 10
        np.testing.assert_allclose(gang["looks"], one["looks"], rtol=0, atol=1e-5)
        if "loaded" in gang:
            np.testing.assert_allclose(gang["loaded"], gang["probs"], rtol=0, atol=1e-4)


OFTEN = {"checkpoint_every_s": 1e-9}


# How a gang dies: its size, its stage, and when.
DEATHS: dict[str, tuple[int, int, dict[str, int]]] = {
    "of none": (2, 0, {"die_after": 6}),
    "of stage 2, alone": (1, 2, {"die_after": 6}),
    "of stage 3": (2, 3, {"die_after": 6}),
    "over a file": (2, 2, {"die_keeping": 4}),
    "over the first file": (2, 3, {"die_keeping": 1}),
}
# How it goes on: with how many processes, and after which step. It dies after the report of a step and before that
# step's checkpoint.
GOES_ON: dict[tuple[str, int], int | None] = {
    ("of none", 1): 5,
    ("of stage 2, alone", 2): 5,
    ("of stage 3", 1): 5,
    ("of stage 3", 2): 5,
    ("over a file", 2): 3,
    ("over the first file", 2): None,
}


@pytest.fixture(scope="module")
def gone_on(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[tuple[str, int], Found]:
    """What came of the fits that died, and of two that nobody disturbs, ("2", 2) and ("3", 2). A gang for each death,
    and one of each size for all that goes on."""
    folder = tmp_path_factory.mktemp("died")
    for death, (size, zero, when) in DEATHS.items():
        one = {"name": death, "resources": OFTEN | {"zero": zero}, **when}
        assert run_gangs(folder / "2", model, [one], size, check=False) == [{}]
    shutil.copytree(folder / "2", folder / "1")
    found: dict[tuple[str, int], Found] = {}
    for size_after in (1, 2):
        stages = {death: DEATHS[death][1] for death, after in GOES_ON if after == size_after}
        stages |= {"2": 2, "3": 3} if size_after == 2 else {}
        fits = [{"name": name, "resources": OFTEN | {"zero": zero}} for name, zero in stages.items()]
        ended = run_gangs(folder / str(size_after), model, fits, size_after)
        found |= {(name, size_after): one for name, one in zip(stages, ended, strict=True)}
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("death", "size_after"), GOES_ON)
def test_a_gang_that_lost_a_process_goes_on_whatever_its_size(
    tmp_path: Path, model: Path, gone_on: dict[tuple[str, int], Found], death: str, size_after: int
) -> None:
    """From the last whole checkpoint; to the last bit with as many processes, else to 1e-5."""
    size, zero, _ = DEATHS[death]
    ended, expected = gone_on[death, size_after], GOES_ON[death, size_after]
    assert ended["resumed_at"].tolist() == ([] if expected is None else [expected])
    whole, tolerance = (gone_on[f"{zero}", 2], 0.0) if size == size_after else (alone(tmp_path, model), 1e-5)
    np.testing.assert_allclose(ended["losses"], whole["losses"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(ended["probs"], whole["probs"], rtol=0, atol=tolerance)


@pytest.mark.slow
def test_a_process_that_must_leave_has_a_checkpoint_written_at_once(tmp_path: Path, model: Path) -> None:
    """Though none is due by the clock. The gang asks every two seconds; without an answer it would go on for
    minutes."""
    run_gang(
        tmp_path,
        model,
        recipe={"epochs": 1000},
        check=False,
        leaving=True,
        die_after="saved",
        resources={"zero": 1, "checkpoint_every_s": 1e9},
    )
    (checkpoint,) = json.loads((tmp_path / "0" / "gang.json").read_text())["value"]["checkpoints"]
    assert 0 < checkpoint["notes"]["step"] < 1000


@pytest.mark.slow
def test_what_was_saved_predicts_again_in_a_gang_and_frozen_features_are_those_of_one_device(
    tmp_path: Path, model: Path
) -> None:
    fits = [
        {"recipe": {"adapt": adapt, "epochs": 1}, "resources": {"zero": 3}, "load": True} for adapt in ("full", "lora")
    ]
    data, _ = toy(ROWS)
    base = embed_base(str(model), data, Recipe(layer=1, pooling="mean"), Resources(), tmp_path / "cache")
    for found in run_gangs(tmp_path, model, fits):
        np.testing.assert_allclose(found["loaded"], found["probs"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(found["base"], base.array_ND, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_gang_of_one_runs_under_plain_python(tmp_path: Path, model: Path) -> None:
    found = run_gang(tmp_path / "gang", model, 1, launcher=[sys.executable], resources={"zero": 2})
    assert_same(found, alone(tmp_path, model))


@pytest.mark.parametrize(
    ("most", "files"), [(100, ["model.safetensors"]), (8, [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)])]
)
def test_large_models_are_written_as_several_files(most: float, files: list[str]) -> None:
    sizes = {"a": 5.0, "b": 3.0, "c": 9.0, "d": 1.0}
    found = files_of(sizes, most)
    assert list(found) == files
    assert [name for names in found.values() for name in names] == list(sizes)
    assert all(sum(sizes[name] for name in names) <= most or len(names) == 1 for names in found.values())


def test_rows_are_dealt_once_each_and_evenly() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 103)
    rows = np.arange(7, 103)
    dealt = deal(rows, lengths, 4)
    assert sorted(np.concatenate(dealt)) == rows.tolist()
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    totals = [lengths[part].sum() for part in dealt]
    assert max(totals) - min(totals) <= lengths.max()
