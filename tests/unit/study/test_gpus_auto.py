"""`gpus: auto`, what a study asks for unless it says otherwise: a GPU that is there is used, and without one nothing
changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studies import config

from w2s_ray.config.load import Study, expand, resolved
from w2s_ray.config.place import Place
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.study.check import check_machine, check_memory, placements
from w2s_ray.study.devices import _lines, on_devices
from w2s_ray.study.setting import Setting
from w2s_ray.study.tuning import _demand, plan_search

ROWS = {"data": "world:topic", "labelled": 40, "pool": 20, "test": 20}


def study(resources: dict[str, Any] | None = None, gpus: int | None = None, **more: Any) -> Study:
    raw = config("naive") | {"task": ROWS} | ({"resources": resources} if resources else {}) | more
    return replace(expand(raw, Path()), gpus=gpus)


@pytest.mark.parametrize(
    ("asked", "there", "gpus"),
    [
        ({}, 0, 0.0),
        ({}, 1, 1.0),
        ({}, 8, 1.0),
        ({"gpus": 0}, 8, 0.0),
        ({"gpus": 0.5}, 8, 0.5),
        ({"gpus": 2}, 0, 2.0),
        ({"workers": 2}, 1, 0.0),
        ({"workers": 2}, 2, 1.0),
        ({"workers": [1, 8]}, 1, 1.0),
        ({"accelerator": "A100"}, 0, 1.0),
        ({"gpu_gb": 24}, 0, 1.0),
    ],
)
def test_what_a_role_gets_by_what_it_asks_for_and_what_is_there(asked: dict[str, Any], there: int, gpus: float) -> None:
    assert study({"strong": asked}).config.resources.of("strong", there).gpus == gpus


def test_where_there_is_no_gpu_nothing_changes() -> None:
    assert study().config.resources.of("weak", 0) == Resources()
    assert study({"weak": {"workers": 2}}).config.resources.of("weak", 0) == Resources(workers=2)
    assert Resources().gpus == 0.0, "a step that nobody describes asks for none"


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_learners_of_a_cell_run_there_and_their_keys_do_not_know(tmp_path: Path, gpus: int) -> None:
    made = study(gpus=gpus)
    with Context(open_store(str(tmp_path)), InlineExecutor, dry=True) as context:
        task, _ = Setting(context, made.base, made.gpus).task(made.cells[0])
        assert (task.weak.resources.gpus, task.strong.resources.gpus) == (gpus, gpus)
    assert {resources.gpus for *_, resources in placements(made)} == {float(gpus)}
    assert "gpus: auto" in resolved(made.config), "another machine has others"


def test_a_study_says_in_a_line_which_roles_use_gpus() -> None:
    auto, gang = Resources(gpus="auto"), Resources(gpus="auto", workers=4)
    assert list(_lines({"weak": auto, "strong": auto}, 1)) == ["weak and strong on 1 GPU each (gpus: auto)"]
    assert list(_lines({"strong": auto}, 8)) == ["strong on 1 GPU (gpus: auto)"]
    assert list(_lines({"weak": auto, "strong": gang}, 0)) == []
    assert list(_lines({"weak": auto, "strong": gang}, 2)) == [
        "weak on 1 GPU (gpus: auto)",
        "strong on CPUs: its 4 processes would need as many GPUs, and this machine has 2 (gpus: auto)",
    ]


def test_of_a_cluster_it_says_what_will_decide_and_leaves_it_open() -> None:
    told: list[str] = []
    there = on_devices(study(), Place(address="auto"), told.append)
    assert there.gpus is None
    assert told == ["weak and strong on 1 GPU each where the cluster has them, else on CPUs (gpus: auto)"]
    given = {"weak": {"gpus": 0}, "strong": {"gpus": 1}}
    told.clear()
    on_devices(study(given), Place(address="auto"), told.append)
    assert told == []


def test_memory_and_machine_are_checked_for_what_it_means_here() -> None:
    little = {"strong": {"memory_gb": 1e-4}}
    with pytest.raises(Exception, match="does not fit"):
        check_memory(study(little, gpus=0))
    check_memory(study(little))  # on a cluster: on a GPU, perhaps, of which nobody says how much it holds
    check_memory(study(little, gpus=1))
    check_machine(study(gpus=0))


def test_a_trial_of_a_search_holds_a_gpu_where_there_is_one(tmp_path: Path) -> None:
    tuned = {"tune": {"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}}}
    with Context(open_store(str(tmp_path)), InlineExecutor) as context:
        for gpus in (0, 1):
            searching = plan_search(study(gpus=gpus, **tuned), context)
            assert _demand(searching).gpus == gpus
            assert searching.trials.gpus == gpus


def test_what_is_neither_a_number_nor_auto_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"resources.weak.gpus is 'all'; it must be a number or must be 'auto'"):
        study({"weak": {"gpus": "all"}})
    with pytest.raises(ConfigError, match=r"accelerator is T4, but gpus is 0"):
        study({"weak": {"gpus": 0, "accelerator": "T4"}})
