"""One trial of a search: which study it is, which rows it is judged on, what each objective says of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studies import FIT, ROWS, config

from w2s_ray.config.load import expand
from w2s_ray.config.search_spec import Objective, SearchSpec
from w2s_ray.core.answers import Answers
from w2s_ray.core.errors import ConfigError, FitError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import Handle, Node
from w2s_ray.engine.record import Record
from w2s_ray.engine.step import Step
from w2s_ray.engine.store import open_store
from w2s_ray.study.setting import Setting
from w2s_ray.study.trial import Trials, _judged_on, _value, cells_of, run_trial, study_at

LR = "train.strong.lr"
SPACE = {LR: {"log": [1e-4, 1.0]}}


def trials(rows: Path, store_url: str, raw: dict[str, Any], seeds: tuple[int, ...] = (0,), **tune: Any) -> Trials:
    return Trials(raw, str(rows), SearchSpec.model_validate({"space": SPACE, **tune}), seeds, store_url)


def test_a_trials_study_is_the_study_at_the_point_with_the_searchs_seeds(rows: Path, store_url: str) -> None:
    raw = config("naive", seeds=(7,), convention="openai", grid={"task.seed": [0, 1]})
    before = copy.deepcopy(raw)
    search = trials(rows, store_url, raw, (3, 4))
    made = study_at(search, {LR: 0.5, "methods.0.loss": {"type": "logconf"}})
    assert raw == before
    assert {cell.seed for cell in made.cells} == {3, 4} and {cell.config.train.strong.lr for cell in made.cells} == {
        0.5
    }
    assert {cell.method.loss.compat for cell in made.cells} == {"openai"}, "the point has the convention's form too"
    with pytest.raises(ConfigError, match=r"train\.strong\.lr is -1"):
        study_at(search, {LR: -1})


def test_a_trials_cells_are_one_a_grid_point_by_the_first_method(rows: Path) -> None:
    raw = config("naive", seeds=(0, 1), grid={"task.seed": [0, 1], "methods.0.name": ["a", "b"]})
    made = expand(raw | {"methods": ["naive", "gold_filter"]}, rows)
    cells = cells_of(made, 1)
    assert [(cell.seed, cell.method.label, cell.point["task.seed"]) for cell in cells] == [
        (1, "a", 0), (1, "b", 0), (1, "a", 1), (1, "b", 1)
    ]  # fmt: skip
    assert cells_of(made, 5) == []


@pytest.fixture(scope="module")
def setting(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with Context(open_store(str(tmp_path_factory.mktemp("store"))), InlineExecutor) as context:
        yield Setting(context, rows)


@pytest.mark.parametrize("select_on", ["heldout", "weak_labels", "gold"])
def test_a_trial_is_judged_on_the_rows_and_the_gold_that_it_may_look_at(setting: Setting, select_on: Any) -> None:
    asked = {"data": "file:rows.jsonl", **ROWS, "heldout": 0.2, "pool_heldout": 0.2}
    task, gold = setting.task(expand(config("naive", task=asked), setting.base).cells[0])
    rows, truth = _judged_on(task, gold, select_on)
    expected = {
        "heldout": (task.heldout, task.heldout_labels),
        "weak_labels": (task.pool_heldout, None),
        "gold": (task.test, gold.test),
    }
    assert (rows, truth) == expected[select_on]
    assert (truth is not None and truth.key in (gold.pool.key, gold.test.key)) == (select_on == "gold")


IDS = ["a", "b", "c", "d"]
GOLD = LabelSet.hard(IDS, [0, 0, 1, 1], 2)
SAID = LabelSet.of(IDS, [[0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])


def fitted(seconds: float) -> Handle:
    key = Key("train", "m", "ab" * 32)
    node = Node(key, Step("train", 1, "", lambda params, inputs: "m"), {}, {}, Resources())
    node.future.set_result(Record(key.full, "train", 1, {}, {}, "a1", {}, {}, seconds))
    return Handle(None, node)  # type: ignore[arg-type]  # nobody looks at its files


@pytest.mark.parametrize(
    ("metric", "said", "known", "value"),
    [
        ("accuracy", SAID, GOLD, 0.75),
        ("accuracy", SAID, SAID, 1.0),
        ("auroc", SAID, GOLD, 0.75),
        ("log_loss", SAID, GOLD, (0.2231436 + 0.5108256 + 1.2039728 + 0.1053605) / 4),
        ("seconds", SAID, GOLD, 12.5),
        ("accuracy", Answers.of(IDS, ["x", "y", "z", ""]), Answers.of(IDS, [" x ", "y", "w", "v"]), 0.5),
    ],
)
def test_an_objective_is_a_number_of_what_was_said_against_what_is_known(
    metric: Any, said: Any, known: Any, value: float
) -> None:
    assert _value(Objective(metric=metric), fitted(12.5), said, known) == pytest.approx(value, abs=1e-6)
    shuffled = known.align(IDS[::-1])
    assert _value(Objective(metric=metric), fitted(12.5), said, shuffled) == pytest.approx(value, abs=1e-6), "by id"


@pytest.mark.parametrize(
    ("metric", "of", "known"), [("auroc", "student", LabelSet.hard(IDS, [1] * 4, 2)), ("log_loss", "weak", None)]
)
def test_an_objective_that_is_not_defined_says_why(metric: Any, of: Any, known: Any) -> None:
    texts = Answers.of(IDS, ["x"] * 4)
    said, known = (texts, texts) if known is None else (SAID, known)
    with pytest.raises(FitError, match=rf"^{of} {metric} is not defined here: \w+"):
        _value(Objective(metric=metric, of=of), fitted(1), said, known)


Told = list[tuple[int, list[float], dict[str, Any]]]


def run(search: Trials, point: dict[str, Any]) -> Told:
    told: Told = []
    run_trial(
        search,
        point,
        lambda step, values, facts: told.append((step, list(values), copy.deepcopy(facts))),
        InlineExecutor,
    )
    return told


def test_what_a_trial_has_told_does_not_grow(rows: Path, store_url: str) -> None:
    fit = FIT | {"epochs": 1}
    raw = config("naive", train={"weak": fit, "strong": fit})
    raw["task"]["heldout"] = 0.4
    search = trials(rows, store_url, raw, (0, 1), objective={"metric": "accuracy", "of": "weak"})
    told: list[Any] = []
    run_trial(search, {}, lambda step, values, facts: told.append(facts["keys"]), InlineExecutor)
    assert [len(keys) for keys in told] == [1, 2]


def test_a_trial_tells_the_mean_over_the_seeds_that_have_run(rows: Path, store_url: str) -> None:
    fit = FIT | {"epochs": 1}
    raw = config("naive", train={"weak": fit, "strong": fit})
    raw["task"]["heldout"] = 0.4
    objective = ["log_loss", {"metric": "accuracy", "of": "weak"}]
    point = {LR: 0.02}
    alone = [run(trials(rows, store_url, raw, (seed,), objective=objective), point)[0] for seed in (0, 1)]
    both = run(trials(rows, store_url, raw, (0, 1), objective=objective), point)
    assert [step for step, *_ in both] == [1, 2]
    assert both[0][1] == alone[0][1] != alone[1][1]
    assert both[1][1] == pytest.approx([(a + b) / 2 for a, b in zip(alone[0][1], alone[1][1], strict=True)])
    assert both[1][2]["keys"] == alone[0][2]["keys"] + alone[1][2]["keys"]
    store = open_store(store_url)
    trained = {str(key) for key in store.finished("train")}
    assert trained == {key for made in both[1][2]["keys"] for key in made.values()} and len(trained) == 4

    of_weak = trials(rows, store_url, raw, (0, 1), objective={"metric": "accuracy", "of": "weak"})
    (_, _, facts), (_, (value,), _) = run(of_weak, {LR: 0.5})
    assert facts == {"keys": [{"weak": alone[0][2]["keys"][0]["weak"]}]}, "which is there, whatever a student's rate"
    assert value == both[1][1][1] and len(list(store.finished("train"))) == 4
