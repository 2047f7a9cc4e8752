"""`convention:` its values land in the resolved config, what the study says stands above them, and each confidence loss
takes the convention's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from studies import config

from w2s_ray.config.convention import PRESETS
from w2s_ray.config.load import expand, resolved
from w2s_ray.config.schema import StudyConfig
from w2s_ray.core.errors import ConfigError

BARE: dict[str, Any] = {
    "name": "bare",
    "task": {"data": "world:topic"},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive", {"type": "naive", "name": "logconf", "loss": "logconf"}],
}


def study(convention: str | None, **more: Any) -> StudyConfig:
    return expand({**BARE, "convention": convention, **more}, Path()).config


def holds(whole: Any, part: Any) -> bool:
    """Whether the part's values stand in the whole, however deep."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and holds(whole[name], value) for name, value in part.items()
        )
    return bool(whole == part)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_lands_in_the_resolved_config(name: str) -> None:
    told = yaml.safe_load(resolved(study(name)))
    assert holds(told, {"convention": name, **PRESETS[name]})
    assert not holds(yaml.safe_load(resolved(study(None))), PRESETS[name])


@pytest.mark.parametrize("name", PRESETS)
def test_a_resolved_config_reads_back_as_the_same(name: str) -> None:
    made = study(name, train={"strong": {"lr": 1e-5}})
    assert expand(yaml.safe_load(resolved(made)), Path()).config == made


def test_the_two_codes_differ_where_their_documents_say() -> None:
    openai, eleuther, ours = study("openai"), study("eleuther"), study(None)
    assert [made.ceiling_on for made in (openai, eleuther, ours)] == ["labelled", "pool", "pool"]
    assert [made.metric for made in (openai, eleuther, ours)] == ["accuracy", "auroc", "accuracy"]
    assert [made.task.balance for made in (openai, eleuther, ours)] == [False, True, False]
    assert [made.train.strong.order for made in (openai, eleuther, ours)] == ["once", "each", "each"], (
        "rows in one order for all epochs is OpenAI's alone"
    )
    assert [made.train.strong.adapt for made in (openai, eleuther, ours)] == ["full", "lora", "full"]
    assert openai.train.strong.check is None is ours.train.strong.check
    assert eleuther.train.strong.check is not None and eleuther.train.strong.check.metric == "auroc"
    assert openai.train.weak == openai.train.strong, "so that a model's gold fit is one as a teacher and as a ceiling"
    assert (eleuther.train.weak.lr, eleuther.train.strong.lr) == (5e-4, 8e-5)


def test_what_the_study_says_stands() -> None:
    made = study(
        "eleuther",
        metric="accuracy",
        task={"data": "world:topic", "balance": False},
        train={"strong": {"adapt": "full", "check": {"every": 0.5}}},
    )
    assert (made.metric, made.task.balance, made.train.strong.adapt) == ("accuracy", False, "full")
    assert made.train.strong.check is not None
    assert (made.train.strong.check.every, made.train.strong.check.metric) == (0.5, "auroc"), (
        "the rest of the mapping stays"
    )
    assert (made.train.strong.lr, made.train.weak.adapt, made.ceiling_on) == (8e-5, "lora", "pool")
    assert study("eleuther", train={"strong": {"check": None}}).train.strong.check is None


def test_what_the_study_says_stands_at_each_point_of_the_grid() -> None:
    made = expand(
        {**BARE, "convention": "openai", "grid": {"train.strong.order": ["once", "each"], "task.heldout": [0, 0.1]}},
        Path(),
    )
    found = {(cell.config.train.strong.order, cell.config.task.heldout) for cell in made.cells}
    assert found == {("once", 0), ("once", 0.1), ("each", 0), ("each", 0.1)}
    assert {(cell.config.train.strong.head_init, cell.config.ceiling_on) for cell in made.cells} == {
        ("zero", "labelled")
    }


def test_a_grid_over_the_confidence_loss_keeps_its_form() -> None:
    made = expand({**BARE, "convention": "openai", "grid": {"methods.1.loss.aux": [0.25, 0.75]}}, Path())
    found = [(cell.method.loss.aux, cell.method.loss.compat) for cell in made.cells if cell.method.label == "logconf"]
    assert found == [(0.25, "openai"), (0.75, "openai")]


@pytest.mark.parametrize("name", [*PRESETS, None])
@pytest.mark.parametrize("loss", ["logconf", {"type": "logconf", "aux": 0.75}])
def test_the_confidence_loss_is_the_conventions_wherever_it_stands(name: str | None, loss: Any) -> None:
    methods = ["naive", {"type": "naive", "name": "logconf", "loss": loss}]
    made = study(
        name,
        methods=methods,
        train={"weak": {"loss": loss}, "strong": {"loss": loss}, "by_model": {"world/micro": {"loss": loss}}},
    )
    of_method: Any = made.methods[1]
    found: list[Any] = [of_method.loss, made.train.weak.loss, made.train.strong.loss, made.recipe("strong").loss]
    assert {one.compat for one in found} == {name or "paper"}
    assert {one.aux for one in found} == {0.75 if isinstance(loss, dict) else 0.5}


def test_a_form_that_is_said_stands_and_other_losses_have_none() -> None:
    said = {"type": "naive", "name": "said", "loss": {"type": "logconf", "compat": "paper"}}
    made = study("openai", methods=["naive", said, {"type": "naive", "name": "entropy", "loss": "entropy"}])
    losses = [method.loss for method in made.methods]
    assert [getattr(loss, "compat", None) for loss in losses] == [None, "paper", None]


@pytest.mark.parametrize(
    ("name", "expected"), [("eleuther", [100, 100, 0.2]), ("openai", [0.1, 0.1, 0.2]), (None, [0.1, 0.1, 0.2])]
)
def test_eleuther_warms_its_losses_up_over_100_steps(name: str | None, expected: list[float]) -> None:
    losses: list[Any] = ["logconf", {"type": "entropy"}, {"type": "entropy", "warmup": 0.2}]
    made = study(name, methods=[{"type": "naive", "name": str(n), "loss": loss} for n, loss in enumerate(losses)])
    assert [method.loss.warmup for method in made.methods] == expected  # type: ignore[attr-defined]


def test_an_unknown_convention_is_refused_with_the_closest() -> None:
    with pytest.raises(
        ConfigError,
        match=r"convention is 'openal' \(did you mean 'openai'\?\); it must be one of openai, eleuther, or be left out",
    ):
        study("openal")


def test_the_raw_config_is_left_as_it_was() -> None:
    raw = {
        **config("naive"),
        "convention": "openai",
        "methods": ["naive", {"type": "naive", "name": "logconf", "loss": {"type": "logconf"}}],
    }
    assert expand(raw, Path()).raw["methods"][1]["loss"] == {"type": "logconf"}
    assert "ceiling_on" not in raw
