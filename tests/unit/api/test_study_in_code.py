"""`w2s.Study`: what YAML says, said in code; the same checks, the same cells."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pytest
from studies import config

import w2s_ray as w2s
from w2s_ray.api.run import plan, run
from w2s_ray.api.study import Planning, Running
from w2s_ray.config.load import expand, load_study
from w2s_ray.config.method import MethodParams
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Models, StudyConfig
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.resources import Resources
from w2s_ray.methods.bagging import Bagging
from w2s_ray.methods.naive import Naive
from w2s_ray.study.results import config_digest

MODELS = {"weak": "world/nano", "strong": "world/micro"}
TASK = {"data": "world:topic", "labelled": 40, "pool": 60, "test": 60}


def small(**more: Any) -> w2s.Study:
    return w2s.Study(**{"name": "small", "task": TASK, "models": MODELS, "methods": ["naive"]} | more)


def test_a_study_has_the_keys_of_a_yaml() -> None:
    keywords = set(inspect.signature(w2s.Study).parameters)
    assert keywords - {"base"} == set(StudyConfig.model_fields) - {"tuned"}, "which `w2s tune` alone writes"


def test_run_and_plan_of_a_study_take_what_the_functions_take() -> None:
    for function, keywords in ((run, Running), (plan, Planning)):
        assert set(inspect.signature(function).parameters) - {"study"} == set(get_type_hints(keywords))


@pytest.mark.parametrize(
    ("resources", "gpus"), [(Resources(cpus=2), "auto"), (Resources(gpus=0), 0), (Resources(gpus=1), 1)]
)
def test_no_gpu_that_was_asked_for_is_none(resources: Resources, gpus: object) -> None:
    said = w2s.Study(name="x", task=TASK, models=MODELS, methods=["naive"], resources={"weak": resources})
    assert said.config.resources.weak.gpus == gpus


def test_objects_sequences_and_arrays_are_the_yaml_that_they_mean(tmp_path: Path) -> None:
    said = w2s.Study(
        name="small",
        task=TaskSpec(**TASK),
        models=Models(**MODELS),
        methods=(Naive(), Naive(name="mine", loss="logconf"), {"type": "bagging", "members": 3}),
        train={"weak": Recipe(lr=0.01), "strong": {"epochs": 1}},
        seeds=range(3),
        grid={"train.strong.lr": np.array([1e-3, 1e-2]), "models.strong": ["world/micro", "world/small"]},
        resources={"strong": Resources(cpus=2)},
        convention="openai",
        base=tmp_path,
    )
    file = tmp_path / "study.yaml"
    file.write_text(
        """
        name: small
        convention: openai
        task: {data: "world:topic", labelled: 40, pool: 60, test: 60}
        models: {weak: world/nano, strong: world/micro}
        methods: [naive, {type: naive, name: mine, loss: logconf}, {type: bagging, members: 3}]
        train: {weak: {lr: 0.01}, strong: {epochs: 1}}
        seeds: [0, 1, 2]
        grid: {train.strong.lr: [1e-3, 1e-2], models.strong: [world/micro, world/small]}
        resources: {strong: {cpus: 2}}
        """
    )
    read = load_study(file)
    assert said.config == read.config and said.cells == read.cells and len(said.cells) == 36
    assert said.config.train.weak.epochs == 2, "of the convention: the recipe's own default was not said"


def test_what_is_wrong_is_said_at_once_and_in_one_line() -> None:
    for changes, words in (
        ({"seeds": 3}, "seeds is 3; it must be a list"),
        ({"task": TASK | {"labeled": 1}}, "task.labeled is not a known key"),
        ({"methods": [Naive(), Naive()]}, "names one twice"),
        ({"methods": ["nave"]}, "did you mean 'naive'"),
        ({"grid": {"train.strong.lr": []}}, "has no values"),
        ({"name": "a/b"}, "it names a folder"),
        ({"hypothesis": "\ud800"}, "half a character"),
        ({"train": {"weak": {"lr": float("nan")}}}, "must be a finite number"),
    ):
        with pytest.raises(w2s.InputError, match=words) as refused:
            small(**changes)
        assert "\n" not in str(refused.value)
    with pytest.raises(w2s.InputError, match="give a w2s"):
        w2s.Study.of(3)  # type: ignore[arg-type]
    knot: dict[str, Any] = {}
    knot["weak"] = knot
    with pytest.raises(w2s.InputError, match="holds itself"):
        small(train=knot)


def test_another_study_differs_in_what_is_named_alone() -> None:
    study = small(train={"strong": {"lr": 0.01, "epochs": 3}}, grid={"task.labelled": [20, 40]})
    other = study.with_({"train.strong.lr": 0.02}, name="other", grid={}, seeds=np.arange(2))
    assert (other.config.train.strong.lr, other.config.train.strong.epochs) == (0.02, 3)
    assert (other.config.name, other.config.seeds, len(other.cells)) == ("other", (0, 1), 2)
    assert study.config.train.strong.lr == 0.01 and len(study.cells) == 2
    with pytest.raises(w2s.InputError, match=r"train\.strong\.lrr is not a known key"):
        study.with_({"train.strong.lrr": 1})


def test_a_file_of_it_is_the_same_study(tmp_path: Path) -> None:
    study = small(
        methods=[Naive(loss={"type": "logconf", "aux": 0.3}), Bagging(members=2)], grid={"task.pool": (30, 60)}
    )
    back = w2s.Study.from_yaml(study.to_yaml(tmp_path / "study.yaml"))
    assert config_digest(back) == config_digest(study) and back.config == study.config and back.cells == study.cells
    assert w2s.Study.from_yaml(tmp_path / "study.yaml", ["seeds=[7]"]).config.seeds == (7,)


def test_a_file_elsewhere_names_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": 0}\n')
    (tmp_path / "deeper").mkdir()
    study = w2s.Study(**config("naive"), base=tmp_path)
    assert study.to_yaml(tmp_path / "here.yaml").read_text().count(f"file:{tmp_path}") == 0
    moved = w2s.Study.from_yaml(study.to_yaml(tmp_path / "deeper" / "study.yaml"))
    assert moved.config.task.data == f"file:{tmp_path / 'rows.jsonl'}"


def test_configs_mappings_files_and_checked_studies_are_taken_too(tmp_path: Path) -> None:
    study = small(seeds=[1, 2])
    file = study.to_yaml(tmp_path / "study.yaml")
    for other in (study.config, dict(study.raw), file, str(file), expand(study.raw, tmp_path), study):
        assert w2s.Study.of(other).cells == study.cells


class Mine(MethodParams):
    """A method of this file."""

    type: Literal["mine"] = "mine"
    rounds: int = 1


def test_a_method_of_the_program_is_taken_as_it_is_and_not_written(tmp_path: Path) -> None:
    study = small(methods=["naive", Mine(rounds=2)], grid={"train.strong.lr": [0.1, 0.2]})
    assert [cell.method_label for cell in study.cells if isinstance(cell.method, Mine)] == [
        "mine (train.strong.lr=0.1)", "mine (train.strong.lr=0.2)"
    ]  # fmt: skip
    with pytest.raises(w2s.InputError, match="mine is a class of this program"):
        study.to_yaml(tmp_path / "study.yaml")


def test_whom_it_tells_goes_with_it(tmp_path: Path) -> None:
    study = small(track=["jsonl", {"type": "wandb", "mode": "offline"}], notify="$HOOK")
    file = study.to_yaml(tmp_path / "study.yaml")
    for other in (w2s.Study.of(study), w2s.Study.of(study.config), w2s.Study.from_yaml(file), study.with_(seeds=[1])):
        assert (other.config.track, other.config.notify) == (study.config.track, study.config.notify)
    assert not {"track", "notify"} & study.raw.keys(), "they count for nothing"
    assert study.with_(track=[]).config.track == ()


def test_a_study_of_a_file_keeps_its_lock(tmp_path: Path) -> None:
    study = w2s.Study.from_yaml(small().to_yaml(tmp_path / "study.yaml"))
    assert study.file == study.with_(seeds=[1]).file == w2s.Study.of(study).file == tmp_path / "study.yaml"
    assert small().file is None


def test_it_shows_itself_in_a_line() -> None:
    assert repr(small(seeds=[0, 1])) == "<Study small: 2 cells = 1 grid point x 1 method x 2 seeds>"


def test_conventions_are_those_of_the_schema() -> None:
    hint = get_type_hints(w2s.Study.__init__)["convention"]
    assert set(get_args(hint)) == set(get_args(StudyConfig.model_fields["convention"].annotation))
