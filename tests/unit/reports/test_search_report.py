"""What is written of a search: the best trials, their table, their recipes; here of trials that were told by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from w2s_ray.config.load import at_point, expand, load_study
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.reports.search_files import write_search
from w2s_ray.reports.searched import Searched, trial_rows
from w2s_ray.reports.wording import SELECTED

LR, LOSS = "train.strong.lr", "methods.0.loss"
SPACE = {LR: {"log": [1e-4, 1.0]}, LOSS: {"choice": ["xent", {"type": "logconf", "aux": 0.25}, "entropy"]}}
RAW: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "world:topic"},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": [{"type": "naive"}],
}
optuna.logging.set_verbosity(optuna.logging.ERROR)


def searched(values: list[Any], *objectives: str, select_on: Any = "heldout", wanted: int | None = None) -> Searched:
    """Trials with these values; a text is the error of a trial that failed, a number in a list is one that was pruned
    there, None one that runs."""
    objective = list(objectives) or ["accuracy"]
    spec = SearchSpec.model_validate({"space": SPACE, "objective": objective})
    study = optuna.create_study(
        directions=["maximize" if one.larger_is_better else "minimize" for one in spec.objective]
    )
    labels = list(spec.space[LOSS].choice or ())
    labels = [spec.labelled({LOSS: label})[LOSS] for label in labels]
    kinds = {LR: FloatDistribution(1e-4, 1.0, log=True), LOSS: CategoricalDistribution(labels)}
    for n, value in enumerate(values):
        params = {LOSS: labels[n % 3], LR: min(1.0, 1e-4 * (n + 1))}
        more: dict[str, Any] = {"state": TrialState.COMPLETE, "values": value if isinstance(value, tuple) else (value,)}
        if isinstance(value, str):
            more = {"state": TrialState.FAIL, "user_attrs": {"error": value}}
        elif isinstance(value, list):
            more = {"state": TrialState.PRUNED, "intermediate_values": dict(enumerate(value))}
        elif value is None:
            more = {"state": TrialState.RUNNING}
        study.add_trial(create_trial(params=params, distributions=kinds, **more))
    for name in ("optuna", "sampler", "select_on"):
        study.set_user_attr(name, f"some {name}")
    return Searched(spec, "search/x-" + "ab" * 32, study, wanted or len(values), select_on)


def write(folder: Path, found: Searched) -> None:
    write_search(folder, found, {number: at_point(RAW, point) for number, point in found.recipes.items()})


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "trials.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("objective", "values", "best"),
    [
        ("accuracy", [0.5, 0.7, 0.6], 1),
        ("accuracy", [0.5, 0.7, 0.7], 1),
        ("accuracy", ["lost", 0.1], 1),
        ("accuracy", [0.4, [0.9, 0.95], None], 0),
        ("log_loss", [0.5, 0.7, 0.6], 0),
        ("seconds", [3.0, 1.0, 1.0], 1),
    ],
)
def test_the_best_trial_is_the_first_of_those_that_ended_with_the_best_value(
    objective: str, values: list[Any], best: int
) -> None:
    assert [trial.number for trial in searched(values, objective).front] == [best]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_on_a_front_no_trial_is_better_than_another_in_all_and_nothing_beyond_it_is_as_good(
    values: list[tuple[int, int]],
) -> None:
    """Accuracy is to be large, seconds few; Optuna's own front has the same values."""
    found = searched([(float(a), float(s)) for a, s in values], "accuracy", "seconds")

    def beats(one: Any, two: Any) -> bool:
        return one != two and one[0] >= two[0] and one[1] <= two[1]

    front = [tuple(trial.values) for trial in found.front]
    assert not any(beats(one, two) for one in front for two in front)
    for value in {(float(a), float(s)) for a, s in values} - set(front):
        assert any(beats(one, value) for one in front)
    assert set(front) == {tuple(trial.values) for trial in found.study.best_trials}
    accuracies = [accuracy for accuracy, _ in front]
    assert accuracies == sorted(accuracies, reverse=True), "the best by the first objective first"
    numbers = [trial.number for trial in found.front]
    assert len(set(numbers)) == len(numbers)


def test_a_row_a_trial_says_what_was_tried_and_what_came_of_it() -> None:
    found = searched([0.5, "the loss is nan", [0.1, 0.3], None])
    rows = trial_rows(found)
    assert [row["state"] for row in rows] == ["complete", "fail", "pruned", "running"]
    assert [row["student accuracy"] for row in rows] == [0.5, None, 0.3, None], "of a pruned one what was known last"
    assert [row["error"] for row in rows] == ["", "the loss is nan", "", ""]
    assert [row["best"] for row in rows] == [True, False, False, False]
    assert rows[1][LOSS] == '{"type": "logconf", "aux": 0.25}', "a mapping as JSON, as it stands in the space"


def test_the_best_recipe_is_the_study_at_that_point_and_says_where_it_is_from(tmp_path: Path) -> None:
    found = searched([0.5, 0.75, 0.6])
    write(tmp_path, found)
    best = load_study(tmp_path / "best.yaml").config
    assert best.name == "tiny-tuned" and best.train.strong.lr == pytest.approx(2e-4)
    assert best.methods[0].loss.aux == 0.25  # type: ignore[attr-defined]
    assert best.tuned is not None and (best.tuned.search, best.tuned.select_on) == (found.key, "heldout")
    first = (tmp_path / "best.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# Trial 1 of 3: student accuracy 0.75; {SELECTED['heldout']}."
    plain = expand(RAW, tmp_path).config
    assert (
        best.model_copy(update={"name": "tiny", "tuned": None, "methods": plain.methods, "train": plain.train}) == plain
    )


def test_every_point_of_a_front_has_a_recipe_and_those_of_the_last_writing_go(tmp_path: Path) -> None:
    write(tmp_path, searched([(0.9, 9.0), (0.8, 5.0), (0.7, 6.0), (0.5, 1.0)], "accuracy", "seconds"))
    assert {path.name for path in tmp_path.glob("*.yaml")} == {"best.yaml", "trial-1.yaml", "trial-3.yaml"}
    assert yaml.safe_load((tmp_path / "trial-3.yaml").read_text())["train"]["strong"]["lr"] == pytest.approx(4e-4)
    write(tmp_path, searched([(0.9, 9.0), (0.95, 1.0)], "accuracy", "seconds"))
    assert {path.name for path in tmp_path.glob("*.yaml")} == {"best.yaml"}
    assert load_study(tmp_path / "best.yaml").config.train.strong.lr == pytest.approx(2e-4)


def test_both_tables_hold_the_same_trials(tmp_path: Path) -> None:
    """Choices of several types are JSON in the table that has one type a column."""
    found = searched([0.5, "lost", 0.6, [0.2]])
    write(tmp_path, found)
    rows, table = rows_of(tmp_path), pq.read_table(tmp_path / "trials.parquet").to_pylist()
    assert len(rows) == len(table) == 4
    for row, line in zip(rows, table, strict=True):
        assert list(row) == list(line)
        assert float(row[LR]) == line[LR] and row["state"] == line["state"] and row[LOSS] == line[LOSS]
        assert row["student accuracy"] == ("" if line["student accuracy"] is None else str(line["student accuracy"]))
        assert json.loads(row["keys"]) == []
