"""Searches on the real Ray Tune and Optuna: what is suggested, told, pruned and lost; and whole searches, killed and
continued."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from studies import config, write_rows

from w2s_ray.config.load import expand, load_study
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.reports.searched import Searched
from w2s_ray.study.trial import run_trial
from w2s_ray.study.tuning import plan_search, run_plan

X = "train.strong.lr"
LINE = {X: {"uniform": [0.01, 1.0]}}


def raw_search(tmp_path: Path, tune: dict[str, Any], **more: Any) -> dict[str, Any]:
    write_rows(tmp_path)
    return config("naive", tune=tune, **more)


def in_this_process(search: Any) -> None:
    """The trials one after another, without Ray."""
    study = search.study
    while sum(trial.state.is_finished() for trial in study.trials) < search.trials:
        study.sampler = search.sampler(len(study.trials))
        trial = study.ask()
        reports: list[Any] = []
        run_trial(
            search.payload,
            search.space(trial),
            lambda step, values, facts, reports=reports: reports.append((values, facts)),
            InlineExecutor,
        )
        trial.set_user_attr("keys", reports[-1][1]["keys"])
        study.tell(trial, reports[-1][0])
        search.told(study.trials[trial.number])


def with_trial(name: str) -> Callable[[Any], None]:
    """On Ray, with a toy for a trial."""

    def launch(search: Any) -> None:
        from w2s_ray.runtime.cluster import Target
        from w2s_ray.runtime.trials import run_search

        search.trial = f"toy_trials:{name}"
        run_search(search, Target())

    return launch


def search(
    raw: dict[str, Any],
    folder: Path,
    launch: Callable[[Any], None],
    trials: int,
    told: Callable[[Any], None] = lambda trial: None,
    **more: Any,
) -> Searched:
    with Context(open_store(str(folder / "store")), InlineExecutor) as context:
        return run_plan(plan_search(expand(raw, folder), context), trials, folder / "found", launch, told, **more)


def trial_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "found" / "trials.csv") as file:
        return list(csv.DictReader(file))


def states(found: Searched) -> Counter[str]:
    return Counter(trial.state.name for trial in found.study.trials)


# --- the whole of a search, without Ray ---


def test_the_best_recipe_is_a_study_and_its_models_are_there(tmp_path: Path) -> None:
    """Trials share the weak teacher; the best one's study trains nothing but its ceiling."""
    raw = raw_search(
        tmp_path,
        {
            "space": {X: {"log": [1e-4, 1e-1]}, "train.strong.epochs": {"choice": [1, 2]}},
            "first": [{X: 0.01}],
            "seeds": [0, 1],
        },
    )
    found = search(raw, tmp_path, in_this_process, 3)
    store = open_store(str(tmp_path / "store"))
    assert len(list(store.finished("train"))) == 2 * (1 + 3)
    assert found.trials[0].params[X] == 0.01
    best = load_study(tmp_path / "found" / "best.yaml")
    assert best.config.train.strong.lr == found.front[0].params[X]
    assert (best.config.name, best.config.tuned.select_on) == ("tiny-tuned", "heldout")  # type: ignore[union-attr]
    from w2s_ray.study.run import run_cells

    with Context(store, InlineExecutor) as context:
        runs = run_cells(best, context)
    assert not any(run.error for run in runs)
    assert Counter(key.step for key in context.executed)["train"] == 1  # the ceiling of seed 0
    records = [store.record(key) for key in store.finished("predict")]
    assert not [record for record in records if record and record.value.get("refit")]
    rows = trial_rows(tmp_path)
    assert [row["state"] for row in rows] == ["complete"] * 3
    assert [float(row["student accuracy"]) for row in rows] == [trial.values[0] for trial in found.trials]
    assert sum(row["best"] == "True" for row in rows) == 1
    assert max(float(row["student accuracy"]) for row in rows) == found.front[0].values[0]
    value = store.record(next(iter(store.finished("search")))).value  # type: ignore[union-attr]
    assert value["best"] == found.point(found.front[0])


def test_more_trials_go_on_and_equal_ones_are_not_run_again(tmp_path: Path) -> None:
    raw = raw_search(tmp_path, {"space": {"train.strong.epochs": {"choice": [1, 2]}}, "sampler": "random"})
    few = search(raw, tmp_path, in_this_process, 3)
    told: list[Any] = []
    many = search(raw, tmp_path, in_this_process, 6, told.append)
    assert [trial.params for trial in many.trials[:3]] == [trial.params for trial in few.trials]
    assert len(told) == 3
    assert len(list(open_store(str(tmp_path / "store")).finished("train"))) <= 1 + 2
    search(raw, tmp_path, lambda search: pytest.fail("it is done"), 6)  # type: ignore[arg-type, return-value]


def test_the_objective_sees_no_gold_of_pool_or_test(tmp_path: Path) -> None:
    """Each trial's value stays when that gold is turned over; where it may be seen, it does not."""
    values = {}
    for select_on in ("heldout", "weak_labels", "gold"):
        for flip in (False, True):
            folder = tmp_path / f"{select_on}-{flip}"
            raw = raw_search(folder, {"space": {X: {"log": [1e-3, 1e-1]}}, "select_on": select_on})
            raw["task"]["pool_heldout"] = 0.2
            if flip:
                _turn_over(folder, raw, ("pool", "test", "pool_heldout"))
            values[select_on, flip] = [trial.values for trial in search(raw, folder, in_this_process, 1).trials]
    for select_on in ("heldout", "weak_labels"):
        assert values[select_on, False] == values[select_on, True]
    assert values["gold", False] != values["gold", True]


def _turn_over(folder: Path, raw: dict[str, Any], splits: tuple[str, ...]) -> None:
    """The gold of some splits."""
    from w2s_ray.data.prepare import prepare

    found = prepare(expand(raw, folder).config.task, folder).splits
    assert len(found["pool_heldout"]) == 13
    turned = {text for name in splits for text in found[name].inputs["text"]}
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    (folder / "rows.jsonl").write_text(
        "".join(
            json.dumps(row | {"label": 1 - row["label"] if row["text"] in turned else row["label"]}) + "\n"
            for row in rows
        )
    )


def test_oracles_are_stamped(tmp_path: Path) -> None:
    raw = raw_search(tmp_path, {"space": {X: {"log": [1e-3, 1e-1]}}, "select_on": "gold"})
    search(raw, tmp_path, in_this_process, 1)
    best = (tmp_path / "found" / "best.yaml").read_text()
    assert "ORACLE" in best.splitlines()[0]
    assert "ORACLE" in (tmp_path / "found" / "search.md").read_text()
    assert {row["select_on"] for row in trial_rows(tmp_path)} == {"gold"}
    write_rows(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: found/best.yaml\nname: mine\n")
    from w2s_ray.reports.markdown import report
    from w2s_ray.study.results import build_results
    from w2s_ray.study.run import collect, run_cells

    mine = load_study(tmp_path / "mine.yaml")
    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as context:
        runs = run_cells(mine, context)
        collected = collect(mine, context, runs)
        assert collected is not None
        assert "ORACLE" in report(build_results(mine, context, runs, collected.value, 1.0, tmp_path))


def test_a_search_from_an_oracles_recipe_is_an_oracles(tmp_path: Path) -> None:
    raw = raw_search(tmp_path, {"space": {X: {"log": [1e-3, 1e-1]}}}, tuned={"search": "search/x", "select_on": "gold"})
    search(raw, tmp_path, in_this_process, 1)
    assert load_study(tmp_path / "found" / "best.yaml").config.tuned.select_on == "gold"  # type: ignore[union-attr]
    assert "ORACLE" in (tmp_path / "found" / "search.md").read_text()


def test_a_place_that_a_search_chose_is_told_in_full(tmp_path: Path) -> None:
    raw = raw_search(
        tmp_path, {"space": {"task.data": {"choice": ["file:rows.jsonl", "file:more.jsonl"]}}, "sampler": "grid"}
    )
    (tmp_path / "more.jsonl").write_text((tmp_path / "rows.jsonl").read_text())
    found = search(raw, tmp_path, in_this_process, 2)
    assert (
        load_study(tmp_path / "found" / "best.yaml").config.task.data
        == f"file:{tmp_path / found.front[0].params['task.data'].removeprefix('file:')}"
    )


def test_a_grid_of_methods_is_searched_whole(tmp_path: Path) -> None:
    raw = raw_search(
        tmp_path,
        {"space": {X: {"log": [1e-3, 1e-1]}}},
        grid={"methods.0.loss": ["xent", "logconf"], "methods.0.name": ["a", "b"]},
    )
    found = search(raw, tmp_path, in_this_process, 1)
    assert len(found.trials[0].user_attrs["keys"]) == 4


def test_a_search_of_the_weak_model_trains_no_student(tmp_path: Path) -> None:
    raw = raw_search(
        tmp_path,
        {
            "space": {"train.weak.lr": {"log": [1e-3, 1e-1]}},
            "objective": {"metric": "log_loss", "of": "weak"},
            "sampler": "qmc",
        },
    )
    found = search(raw, tmp_path, in_this_process, 3)
    assert all("nano" in str(key) for key in open_store(str(tmp_path / "store")).finished("train"))
    assert found.front[0].values[0] == min(trial.values[0] for trial in found.trials)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc", "random"])
def test_every_sampler_draws_as_if_it_had_not_been_stopped(tmp_path: Path, sampler: str) -> None:
    """At each trial, and also where its suggestions are categories and conditions."""
    space = {
        "methods.0.loss": {"choice": ["xent", "logconf"]},
        "methods.0.loss.aux": {"uniform": [0, 1], "when": {"methods.0.loss": "logconf"}},
        X: {"log": [1e-3, 1]},
    }
    raw = raw_search(tmp_path, {"space": space, "sampler": sampler})

    def some(count: int) -> Callable[[Any], None]:
        def launch(search: Any) -> None:
            for _ in range(min(count, search.trials - len(search.study.trials))):
                search.study.sampler = search.sampler(len(search.study.trials))
                trial = search.study.ask()
                search.study.tell(trial, search.space(trial)[X])

        return launch

    write_rows(tmp_path / "a")
    whole = search(raw, tmp_path / "a", some(15), 15)
    write_rows(tmp_path / "b")
    for count in (7, 8):
        found = search(raw, tmp_path / "b", some(count), 15)
    assert [trial.params for trial in found.trials] == [trial.params for trial in whole.trials]
    assert len({str(trial.params) for trial in found.trials}) == 15


def test_a_journal_that_ends_in_half_a_line_is_mended(tmp_path: Path) -> None:
    raw = raw_search(tmp_path, {"space": {"train.strong.epochs": {"choice": [1, 2]}}})
    search(raw, tmp_path, in_this_process, 1)
    (journal,) = (tmp_path / "store").glob("journal/*/work/journal.log")
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "work')
    journal.with_name("journal.log.lock").symlink_to(journal)
    assert len(search(raw, tmp_path, in_this_process, 2).trials) == 2
    assert journal.read_bytes().startswith(whole)


class Dies:
    """Optuna's trial in a driver that is killed after so many fields of a point."""

    def __init__(self, trial: Any, fields: int) -> None:
        self.trial, self.fields = trial, fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("suggest_"):
            self.fields -= 1
            if self.fields < 0:
                raise KeyboardInterrupt
        return getattr(self.trial, name)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize(("number", "fields"), [(0, 1), (0, 2), (1, 0), (2, 1), (2, 2)])
def test_a_driver_that_dies_in_the_middle_of_a_point_leaves_that_point(
    sampler: str, number: int, fields: int, tmp_path: Path
) -> None:
    from w2s_ray.runtime.trials import _searches, _Suggestions

    space = {"train.weak.epochs": {"int": [1, 9]}, "train.weak.lr": {"log": [1e-3, 1e-2]}, X: {"log": [1e-3, 1e-1]}}
    raw = raw_search(
        tmp_path, {"space": space, "sampler": sampler, "first": [{X: 0.05}]}
    )  # and leaves two fields of the first point to be drawn
    points: dict[str, list[Any]] = {"whole": [], "died": []}

    def launch(name: str) -> Callable[[Any], None]:
        def run(search: Any) -> None:
            _searches[search.name] = (search, [])
            if name == "died":
                for begun in range(number):
                    search.study.sampler = search.sampler(begun)
                    search.space(search.study.ask())
                search.study.sampler = search.sampler(number)
                with pytest.raises(KeyboardInterrupt):
                    search.space(Dies(search.study.ask(), fields))
            suggestions = _Suggestions(search, 3, "value_0", "max")
            points[name] = [suggestions.suggest(trial)["call"].point for trial in "abc"]
            for trial in search.study.trials:
                search.study.tell(trial.number, 0.5)

        return run

    for name in points:
        with Context(open_store(str(tmp_path / name)), InlineExecutor) as context:
            run_plan(
                plan_search(expand(raw, tmp_path), context), 3, tmp_path / "found", launch(name), lambda trial: None
            )
    assert points["died"] == points["whole"]
    assert points["whole"][0][X] == 0.05


def test_a_grid_is_tried_once_and_then_done(tmp_path: Path) -> None:
    raw = raw_search(
        tmp_path,
        {
            "space": {
                "train.strong.epochs": {"int": [1, 2]},
                "train.strong.schedule": {"choice": ["linear", "cosine"]},
            },
            "sampler": "grid",
        },
    )
    found = search(raw, tmp_path, in_this_process, 50)
    assert Counter(str(found.point(trial)) for trial in found.trials).most_common(1)[0][1] == 1
    assert len(found.trials) == 4


# --- on Ray ---


@pytest.mark.ray
def test_nothing_is_left_running_where_values_are_not_numbers(tmp_path: Path) -> None:
    """NaN, errors and lost processes; a process that is lost once has its trial again."""
    space = LINE | {"train.weak.lr": {"log": [1e-3, 1e-2]}}
    raw = raw_search(
        tmp_path,
        {"space": space, "sampler": "random", "first": [{X: 0.29}, {X: 0.31}, {X: 0.7}]},
        resources={"weak": {"cpus": 0.5}, "strong": {"cpus": 0.5}},
    )
    found = search(raw, tmp_path, with_trial("with_holes"), 24)
    assert set(states(found)) == {"COMPLETE", "FAIL"}
    assert (
        len({trial.params["train.weak.lr"] for trial in found.trials}) == 24
    )  # also of those that `first` left to be drawn
    assert len(found.trials) == 24
    for trial in found.trials:
        x = trial.params[X]
        assert (trial.state.name == "FAIL") == (x > 0.6 or x < 0.1)
        assert bool(trial.user_attrs.get("error")) == (trial.state.name == "FAIL")
    assert (tmp_path / "store" / "died").exists()
    assert abs(found.front[0].params[X] - 0.3) < 0.05
    assert any("is too small" in trial.user_attrs.get("error", "") for trial in found.trials)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_several_objectives_a_pruner_and_a_deadline(tmp_path: Path) -> None:
    raw = raw_search(tmp_path, {"space": LINE}, resources={"weak": {"cpus": 0.5}, "strong": {"cpus": 0.5}})
    raw["tune"] = {"space": LINE, "objective": ["accuracy", "seconds"]}
    both = search(raw, tmp_path, with_trial("two_objectives"), 16)
    assert all(trial.params[X] <= 0.5 for trial in both.front)
    assert len(both.front) == sum(trial.params[X] <= 0.5 for trial in both.complete)
    assert (tmp_path / "found" / f"trial-{both.front[1].number}.yaml").is_file()

    raw["tune"] = {"space": LINE, "pruner": "asha", "seeds": [0, 1, 2, 3], "reduction": 2, "sampler": "random"}
    pruned = search(raw, tmp_path, with_trial("step_by_step"), 20)
    assert set(states(pruned)) == {"COMPLETE", "PRUNED"}
    assert pruned.front[0].params[X] == max(trial.params[X] for trial in pruned.trials)

    raw["tune"] = {"space": LINE, "sampler": "random", "seed": 1}
    early = search(raw, tmp_path, with_trial("slow"), 200, timeout_s=45)
    assert 0 < len(early.complete) == len(early.trials) < 200
    assert len(list(open_store(str(tmp_path / "store")).finished("search"))) == 2  # this one is not done


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_search_that_is_killed_twice_is_the_search_that_was_not(tmp_path: Path) -> None:
    """Two dozen trials of real fits, as a user starts them."""
    raw = raw_search(
        tmp_path,
        {
            "space": {X: {"log": [1e-3, 1e-1]}, "train.strong.epochs": {"int": [1, 2]}},
            "sampler": "random",
            "trials": 24,
        },
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    for kill_after in (4, 13):
        running = _start(tmp_path, "killed")
        _wait_for_trials(tmp_path / "killed", kill_after, running)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    for name in ("killed", "whole"):
        ended = _start(tmp_path, name)
        assert ended.wait(timeout=700) == 0
    killed, whole = (_study(tmp_path / name) for name in ("killed", "whole"))
    for study in (killed, whole):
        assert Counter(trial.state.name for trial in study.trials) == {"COMPLETE": 24}
        assert [trial.number for trial in study.trials] == list(range(24))
    assert [trial.params for trial in killed.trials] == [trial.params for trial in whole.trials]
    assert [trial.values for trial in killed.trials] == [trial.values for trial in whole.trials]
    points = {str(trial.params) for trial in killed.trials}
    assert len(list(open_store(str(tmp_path / "killed")).finished("train"))) == len(points) + 1


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_sharded_trials_that_are_pruned_give_their_processes_back(tmp_path: Path) -> None:
    """Each student takes the whole machine, so a process that is not given back stops all that follows."""
    from w2s_ray.runtime.cluster import Target
    from w2s_ray.runtime.trials import run_search

    # Whichever of the first two is better, one of the last two is behind.
    first = [{X: 3e-2}, {X: 1e-5}, {X: 2.9e-2}]
    tune = {
        "space": {X: {"log": [1e-5, 3e-2]}},
        "objective": "log_loss",
        "pruner": "asha",
        "seeds": [0, 1],
        "reduction": 2,
        "first": first,
    }
    raw = raw_search(tmp_path, tune, resources={"strong": {"workers": 2, "zero": 1}})
    found = search(raw, tmp_path, lambda search: run_search(search, Target()), 3)
    assert len(found.trials) == 3
    assert not found.running
    assert states(found)["FAIL"] == 0
    assert states(found)["PRUNED"] >= 1


def _start(folder: Path, store: str) -> subprocess.Popen[bytes]:
    command = [
        "w2s",
        "tune",
        str(folder / "study.yaml"),
        "--store",
        str(folder / store),
        "--runs",
        str(folder / f"runs-{store}"),
    ]
    code = f"import sys; sys.argv = {command!r}; from w2s_ray.cli.app import main; main()"
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.DEVNULL)


def _study(store: Path) -> optuna.Study:
    (journal,) = store.glob("journal/*/work/journal.log")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return optuna.load_study(study_name=None, storage=storage)


def _wait_for_trials(store: Path, count: int, running: subprocess.Popen[bytes]) -> None:
    """Told to Optuna: in its journal, the operation 6 sets a trial's state."""
    while True:
        assert running.poll() is None
        journals = list(store.glob("journal/*/work/journal.log"))
        told = (
            [line for line in journals[0].read_bytes().splitlines() if b'"op_code":6' in line and b'"state":1' in line]
            if journals
            else []
        )
        if len(told) >= count:
            return
        time.sleep(0.05)
