"""A search without its trials: what makes it another search, what it asks for, and when its result is one. The trials
are told by hand; real ones are in tests/integration/test_search.py."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from studies import config

from w2s_ray.config.load import expand
from w2s_ray.core.errors import FitError
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.reports.files import WRITTEN
from w2s_ray.reports.searched import Searched
from w2s_ray.study.tuning import Searching, _demand, _roles, plan_search, run_plan

LR, EPOCHS = "train.strong.lr", "train.strong.epochs"
TUNE: dict[str, Any] = {"space": {LR: {"log": [1e-4, 1e-1]}, EPOCHS: {"int": [1, 3]}}, "sampler": "random"}


def searching(rows: Path, store_url: str, raw: dict[str, Any]) -> Searching:
    with Context(open_store(store_url), InlineExecutor) as context:
        return plan_search(expand(raw, rows), context)


def raw_search(**tune: Any) -> dict[str, Any]:
    return config("naive", tune=TUNE | tune)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"name": "other", "hypothesis": "It rains."}, True),
        ({"resources": {"strong": {"cpus": 2}}}, True),
        ({"seeds": [0, 1, 2]}, True),  # of which a search takes the first
        ({"tune": TUNE | {"trials": 99}}, True),
        ({"tune": TUNE | {"seeds": [0]}}, False),  # it could be said to be the same; it is named for what it says
        ({"seeds": [1]}, False),
        ({"tune": TUNE | {"seeds": [0, 1]}}, False),
        ({"tune": TUNE | {"sampler": "qmc"}}, False),
        ({"tune": TUNE | {"seed": 1}}, False),
        ({"tune": TUNE | {"objective": "log_loss"}}, False),
        ({"tune": TUNE | {"select_on": "gold"}}, False),
        ({"tune": TUNE | {"first": [{LR: 0.01}]}}, False),
        ({"tune": TUNE | {"space": dict(reversed(TUNE["space"].items()))}}, False),
        ({"tune": TUNE | {"space": {LR: {"uniform": [1e-4, 1e-1]}, EPOCHS: {"int": [1, 3]}}}}, False),
        ({"train": {"weak": {"lr": 0.5}}}, False),
        ({"models": {"weak": "world/nano", "strong": "world/mini"}}, False),
        ({"methods": [{"type": "naive", "loss": "logconf"}]}, False),
    ],
)
def test_a_search_is_named_by_all_that_its_points_and_values_depend_on(
    rows: Path, store_url: str, changes: dict[str, Any], same: bool
) -> None:
    plain, changed = (searching(rows, store_url, raw_search() | more) for more in ({}, changes))
    assert (plain.journal == changed.journal) == same
    assert (plain.result(5) == changed.result(5)) == same
    assert plain.result(5) != plain.result(6), "so many trials are a result"
    assert str(plain.journal).startswith("journal/random-2-fields-")


@pytest.mark.parametrize(
    ("select_on", "before", "told"),
    [("heldout", None, "heldout"), ("gold", None, "gold"), ("heldout", "heldout", "heldout"),
     ("heldout", "gold", "gold"), ("gold", "heldout", "gold")],
)  # fmt: skip
def test_once_an_oracles_always_an_oracles(
    rows: Path, store_url: str, select_on: str, before: str | None, told: str
) -> None:
    raw = raw_search(select_on=select_on)
    if before:
        raw["tuned"] = {"search": "search/x", "select_on": before}
    assert searching(rows, store_url, raw).select_on == told


@pytest.mark.parametrize(
    ("weak", "strong", "demand"),
    [
        ({}, {}, Resources()),
        ({"cpus": 3}, {"cpus": 2, "gpus": 1}, Resources(cpus=3, gpus=1)),
        ({"memory_gb": 4, "retries": 5}, {"memory_gb": 2, "retries": 0}, Resources(memory_gb=4, retries=5)),
        ({"cpus": 8}, {"workers": 2, "cpus": 2}, Resources(workers=2, cpus=2)),
        ({"zero": 1}, {"cpus": 9}, Resources(zero=1)),
    ],
)
def test_a_trial_holds_what_the_more_demanding_of_its_fits_needs(
    rows: Path, store_url: str, weak: dict[str, Any], strong: dict[str, Any], demand: Resources
) -> None:
    made = searching(rows, store_url, raw_search() | {"resources": {"weak": weak, "strong": strong}})
    assert _demand(made) == demand and _roles(made) == (Resources(**weak), Resources(**strong))
    of_weak = raw_search(objective={"metric": "accuracy", "of": "weak"})
    assert _roles(searching(rows, store_url, of_weak | {"resources": {"weak": weak, "strong": strong}})) == (
        Resources(**weak),
    )


# --- trials that are told by hand ---

Launch = Callable[[Any], None]


def telling(value: Callable[[dict[str, Any]], float | None], most: int = 1000) -> Launch:
    """Give each trial its value, None for one that fails, until the search or so many have ended."""

    def launch(search: Any) -> None:
        for _ in range(most):
            if sum(trial.state.is_finished() for trial in search.study.trials) >= search.trials:
                return
            search.study.sampler = search.sampler(len(search.study.trials))
            trial = search.study.ask()
            found = value(search.space(trial))
            if found is None:
                trial.set_user_attr("error", f"trial {trial.number} is lost")
                search.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                search.study.tell(trial, found)
            search.told(search.study.trials[trial.number])

    return launch


def nobody(search: Any) -> None:
    raise AssertionError("there is nothing to try")


def tune(
    rows: Path, store_url: str, folder: Path, raw: dict[str, Any], count: int, launch: Launch, **more: Any
) -> Searched:
    with Context(open_store(store_url), InlineExecutor) as context:
        return run_plan(plan_search(expand(raw, rows), context), count, folder, launch, lambda trial: None, **more)


MORE = (WRITTEN, "journal.log")  # of the folder alone: what a report wrote, and a copy of what the store keeps


def test_a_search_that_is_done_is_a_result_in_the_store_with_the_same_files(
    rows: Path, store_url: str, tmp_path: Path
) -> None:
    found = tune(rows, store_url, tmp_path / "a", raw_search(), 4, telling(lambda point: point[LR]))
    (key,) = open_store(store_url).finished("search")
    assert str(key) == found.key
    artifact = open_store(store_url).open(key)
    assert artifact.record.value == found.value and found.value["states"] == {"complete": 4}
    written = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir() if path.name not in MORE}
    kept = {path.name: path.read_bytes() for path in artifact.path.iterdir()}
    assert kept.pop("journal.log") and kept == written
    again = tune(rows, store_url, tmp_path / "b", raw_search(), 4, nobody)
    assert again.value == found.value
    for name in ("best.yaml", "trials.csv", "search.md"):
        assert (tmp_path / "b" / name).read_bytes() == written[name]


def test_a_search_whose_time_is_up_has_files_and_is_no_result_yet(rows: Path, store_url: str, tmp_path: Path) -> None:
    asked: list[Any] = []

    def launch(search: Any) -> None:
        asked.append(search)
        telling(lambda point: point[LR], most=2)(search)

    before = time.monotonic()
    found = tune(rows, store_url, tmp_path / "found", raw_search(), 9, launch, timeout_s=60, concurrency=2)
    assert before + 60 <= asked[0].until <= time.monotonic() + 60 and asked[0].concurrency == 2
    assert len(found.complete) == 2 and (tmp_path / "found" / "best.yaml").is_file()
    assert not list(open_store(store_url).finished("search"))
    assert (asked[0].steps, asked[0].trials, asked[0].reduction) == (1, 9, 0.0)
    tune(rows, store_url, tmp_path / "found", raw_search(pruner="asha", seeds=[0, 1], reduction=2), 1, asked.append)
    assert (asked[1].steps, asked[1].reduction, asked[1].until) == (2, 2.0, math.inf)


def test_some_trials_may_fail_and_not_all(rows: Path, store_url: str, tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"none of 3 trials has a value; .*the first said: trial 0 is lost"):
        tune(rows, store_url, tmp_path / "a", raw_search(), 3, telling(lambda point: None))
    assert not (tmp_path / "a").exists() and not list(open_store(store_url).finished("search"))
    found = tune(rows, store_url, tmp_path / "a", raw_search(), 4, telling(lambda point: 0.5))
    assert found.states == {"complete": 1, "fail": 3} and found.front[0].number == 3
    with open(tmp_path / "a" / "trials.csv") as file:
        assert [row["error"] for row in csv.DictReader(file)] == [*(f"trial {n} is lost" for n in range(3)), ""]


def test_what_else_lies_in_the_folder_is_no_part_of_the_result(rows: Path, tmp_path: Path) -> None:
    """The store itself may lie there."""
    folder = tmp_path / "runs/x/search"
    (folder / "notes").mkdir(parents=True)
    (folder / "secret.txt").write_text("mine")
    url = str(folder / "store")
    tune(rows, url, folder, raw_search(), 2, telling(lambda point: point[LR]))
    store = open_store(url)
    (key,) = store.finished("search")
    kept = {path.name for path in store.open(key).path.iterdir()}
    assert {"best.yaml", "trials.csv", "trials.parquet", "search.md", "journal.log", "history.svg"} <= kept
    assert not kept & {"store", "notes", "secret.txt"}


def test_points_that_a_user_names_are_tried_first_and_a_grid_ends(rows: Path, store_url: str, tmp_path: Path) -> None:
    first = [{LR: 0.05, EPOCHS: 3}, {LR: 0.001}]
    found = tune(rows, store_url, tmp_path / "found", raw_search(first=first), 3, telling(lambda point: point[LR]))
    points = [found.point(trial) for trial in found.trials]
    assert points[0] == first[0] and points[1][LR] == 0.001 and points[2][LR] not in (0.05, 0.001)
    space = {EPOCHS: {"int": [1, 3]}, LR: {"choice": [0.01, 0.02]}}
    raw = raw_search(space=space, sampler="grid", first=[{EPOCHS: 2, LR: 0.02}])
    grid = tune(rows, store_url, tmp_path / "found", raw, 50, telling(lambda point: point[LR]))
    tried = [(grid.point(trial)[EPOCHS], grid.point(trial)[LR]) for trial in grid.trials]
    assert tried[0] == (2, 0.02) and sorted(tried) == [(e, lr) for e in (1, 2, 3) for lr in (0.01, 0.02)]
    assert grid.wanted == 6
