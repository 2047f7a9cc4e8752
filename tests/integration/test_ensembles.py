"""Ensembles as studies: they grow by what they lack, and refuse members that are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import config, run, write_rows

from w2s_ray.config.load import expand
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.study.run import run_cells


def refusal(raw: dict[str, Any], folder: Path) -> str:
    """What a study of one cell ends with, which is the user's to mend."""
    with Context(open_store(str(folder / "store")), InlineExecutor) as context:
        (ended,) = run_cells(expand(raw, folder), context)
    assert ended.users
    return ended.error


def fits(executed: list[str]) -> int:
    return sum(key.startswith("train/") for key in executed)


def test_a_larger_ensemble_trains_what_the_smaller_one_lacks(tmp_path: Path) -> None:
    write_rows(tmp_path)
    url = str(tmp_path / "store")
    first = run(config({"type": "bagging", "members": 2}), tmp_path, url)
    assert fits(first.executed) == 2 + 3  # members; floor, student, ceiling
    grown = run(config({"type": "bagging", "members": 4}), tmp_path, url)
    assert fits(grown.executed) == 2 + 1  # members; the student, whose labels changed
    other = run(config({"type": "bagging", "members": 4, "combine": "majority"}), tmp_path, url)
    assert fits(other.executed) == 1
    again = run(config({"type": "bagging", "members": 2}), tmp_path, url)
    assert again.executed == []


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ({"type": "model_mix", "models": ["world/nano"], "each": 2}, {"weak": {"adapt": "probe"}}),
        ({"type": "bagging", "members": 2, "sample": 1.0}, {"weak": {"adapt": "probe"}}),
    ],
)
def test_members_that_are_one_fit_are_refused(tmp_path: Path, method: dict[str, Any], train: dict[str, Any]) -> None:
    write_rows(tmp_path)
    assert "members 1 and 2 of the ensemble are the same fit" in refusal(config(method, train=train), tmp_path)


@pytest.mark.parametrize(
    ("method", "adapt"),
    [
        ({"type": "bagging", "members": 4, "combine": "stacking"}, "full"),
        ({"type": "random_subspace", "members": 4}, "lora"),
        ({"type": "bagging", "members": 5}, "probe"),
    ],
)
def test_an_ensemble_that_is_stacked_is_the_ensemble_up_to_rounding(
    tmp_path: Path, method: dict[str, Any], adapt: str
) -> None:
    write_rows(tmp_path)
    scores = []
    for fuse in (True, False):
        raw = config(method, resources={"weak": {"fuse": fuse}})
        raw["train"] = {**raw["train"], "weak": {**raw["train"]["weak"], "adapt": adapt}}
        url = str(tmp_path / f"store-{fuse}")
        (found,) = run(raw, tmp_path, url).scores.values()
        scores.append([found["labels"]["log_loss"], found["labels"]["ece"], found["floor"]])
        store = open_store(url)
        stacked = [
            record.value["facts"].get("fused")
            for key in store.finished("probe" if adapt == "probe" else "train")
            if (record := store.record(key))
        ]
        assert any(stacked) == fuse
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_ensembles_of_several_tasks_at_once_are_stacked_each_for_itself(tmp_path: Path) -> None:
    raw = config(
        {"type": "bagging", "members": 3},
        resources={"weak": {"fuse": True}},
        grid={"task.data": ["world:topic", "world:topic5"]},
    )
    raw["task"] |= {"data": "world:topic"}
    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as context:
        assert not [one.traceback for one in run_cells(expand(raw, tmp_path), context) if one.error]


def test_an_ensemble_that_learns_needs_held_out_rows(tmp_path: Path) -> None:
    write_rows(tmp_path)
    raw = config({"type": "bagging", "members": 2, "combine": "stacking"})
    raw["task"]["heldout"] = 0
    assert "task.heldout is 0" in refusal(raw, tmp_path)


def test_a_mix_of_recipes_trains_each_once(tmp_path: Path) -> None:
    write_rows(tmp_path)
    ran = run(
        config({"type": "model_mix", "recipes": [{"lr": 0.01}, {"lr": 0.02, "epochs": 1}]}),
        tmp_path,
        str(tmp_path / "store"),
    )
    assert fits(ran.executed) == 2 + 3


@pytest.mark.parametrize(
    ("recipes", "fault"),
    [
        ([{"lr": -1}], "recipes.0.lr"),
        ([{"epoch": 1}], "did you mean 'epochs'"),
        ([{"seed": 1}], "set no seed"),
        ([{"lr": 0.1}, {"lr": 0.1}], "stands twice"),
    ],
)
def test_a_recipe_of_a_mix_is_checked_when_the_study_is_read(
    tmp_path: Path, recipes: list[dict[str, Any]], fault: str
) -> None:
    write_rows(tmp_path)
    with pytest.raises(ConfigError, match=fault):
        expand(config({"type": "model_mix", "recipes": recipes}), tmp_path)


@pytest.mark.parametrize("adapt", ["full", "probe"])
def test_members_may_differ_in_their_prompt(tmp_path: Path, adapt: str) -> None:
    """Each reads the rows its own way, in training and when it labels. The first probe is the floor's, for a probe has
    no seed."""
    write_rows(tmp_path)
    raw = config({"type": "model_mix", "recipes": [{}, {"prompt": "vaze {text}"}, {"prompt": "{text} rubi"}]})
    raw["train"] = {**raw["train"], "weak": {**raw["train"]["weak"], "adapt": adapt}}
    ran = run(raw, tmp_path, str(tmp_path / "store"))
    weak = 4 if adapt == "full" else 3
    assert len([key for key in ran.executed if key.startswith(("train/world-nano", "probe/world-nano"))]) == weak
    store = open_store(str(tmp_path / "store"))
    said = {LabelSet.load(store.open(key).path).digest for key in store.finished("predict") if "nano" in key.slug}
    assert len(said) == 2 * weak  # of the pool and of the test rows
    with pytest.raises(ConfigError, match="so that all rows would read alike"):
        expand(config({"type": "model_mix", "recipes": [{"prompt": "all alike"}]}), tmp_path)
