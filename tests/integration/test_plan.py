"""`w2s plan`: what it counts, what it refuses before anything is computed, where fits would run, and what a study
probably does not mean."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from studies import config

from w2s_ray.cli.plan import print_plan
from w2s_ray.config.load import Study, expand
from w2s_ray.core.errors import ConfigError, InputError
from w2s_ray.study.check import check_names, placements
from w2s_ray.study.plan import Plan, make_plan
from w2s_ray.study.warnings import warnings_of

ROWS = {"data": "world:topic", "labelled": 40, "pool": 20, "test": 20}


def study(*methods: Any, **more: Any) -> Study:
    return expand({**config("naive"), "task": ROWS, "methods": list(methods or ["naive"]), **more}, Path())


def plan(made: Study, folder: Path) -> Plan:
    return make_plan(made, str(folder / "store"), folder)


def test_it_says_how_many_cells_decide_by_results_that_are_not_there(tmp_path: Path) -> None:
    assert plan(study(), tmp_path).cut_short == 0
    cut = plan(study("naive", {"type": "clean_labels", "by": "knn"}, seeds=[0, 1]), tmp_path)
    assert cut.cut_short == 2
    told = io.StringIO()
    print_plan(Console(file=told, width=200), cut, show_keys=False)
    assert "at least: 2 cells decide what comes next by results that are not there yet" in told.getvalue()


def test_a_mistake_that_a_run_would_meet_is_refused(tmp_path: Path) -> None:
    wrong = study(train={"weak": {"adapt": "probe", "loss": "logconf"}, "strong": {}})
    with pytest.raises(
        InputError, match=r"naive: loss: 'logconf' with adapt: probe; a probe is solved for cross-entropy"
    ):
        plan(wrong, tmp_path)


@pytest.mark.parametrize(
    "method", ["boosting", {"type": "bagging", "combine": "stacking"}, {"type": "early_stop", "by": "heldout"}]
)
def test_held_out_rows_that_are_not_there_are_missed_before_anything_runs(method: Any) -> None:
    with pytest.raises(ConfigError, match=r"task.heldout is 0; set it to a share above 0"):
        check_names(study(method, task=ROWS | {"heldout": 0}))
    check_names(
        study(
            {"type": "boosting", "error_on": "labelled"},
            {"type": "bagging", "combine": "mean"},
            task=ROWS | {"heldout": 0},
        )
    )


def test_the_models_that_are_trained_are_placed_and_no_others() -> None:
    ladder = {"type": "bootstrap", "ladder": ["world/mini"]}
    made = study(
        "naive",
        ladder,
        models={"weak": "world/nano", "strong": "world/small"},
        grid={"models": [{"weak": "world/nano", "strong": "world/micro"}]},
    )
    assert [(role, model) for role, model, *_ in placements(made)] == [
        ("weak", "world/nano"),
        ("strong", "world/micro"),
        ("strong", "world/mini"),
    ]
    varied = study(grid={"train.strong.lr": [1e-3, 2e-3], "train.strong.adapt": ["full", "lora"]})
    assert [recipe.adapt for role, _, recipe, _ in placements(varied) if role == "strong"] == ["full", "lora"], (
        "the rate needs no other memory"
    )


def test_a_ladder_that_does_not_grow_is_doubted() -> None:
    models = {"weak": "world/nano", "strong": "world/mini"}
    assert not list(
        warnings_of(study({"type": "bootstrap", "ladder": ["world/micro"]}, models=models, seeds=[0, 1, 2]))
    )
    (said,) = warnings_of(study({"type": "bootstrap", "ladder": ["world/small"]}, models=models, seeds=[0, 1, 2]))
    assert (
        said.startswith("methods bootstrap: world/mini (")
        and "is taught by world/small (" in said
        and said.endswith("which is not smaller; is that meant?")
    )
