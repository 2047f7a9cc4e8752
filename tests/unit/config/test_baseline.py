"""Whom each method is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import config

from w2s_ray.config.baseline import Pairing, baseline_of, pairings
from w2s_ray.config.load import Study, expand
from w2s_ray.core.errors import ConfigError
from w2s_ray.study.results import config_digest

LOGCONF = {"type": "naive", "name": "logconf", "loss": {"type": "logconf", "aux": 0.5}}


def study(methods: list[Any], **more: Any) -> Study:
    return expand({**config("naive"), "methods": methods, **more}, Path())


@pytest.mark.parametrize(
    ("methods", "asked", "baseline"),
    [
        (["naive", LOGCONF], None, "naive"),
        ([LOGCONF, "naive"], None, "naive"),
        ([LOGCONF, {"type": "naive", "name": "plain"}], None, "logconf"),
        ([LOGCONF, {"type": "naive", "loss": "entropy"}], None, "logconf"),
        ([LOGCONF, {"type": "bagging", "members": 2, "name": "naive"}], None, "logconf"),
        (["naive", LOGCONF], "logconf", "logconf"),
        ([LOGCONF, {"type": "naive", "loss": "xent"}], None, "naive"),
    ],
)
def test_the_plain_naive_method_else_the_first_else_what_is_asked(
    methods: list[Any], asked: str | None, baseline: str
) -> None:
    made = study(methods, baseline=asked)
    assert baseline_of(made.cells, made.config.baseline) == baseline


def test_naive_under_another_loss_of_the_recipe_is_not_plain() -> None:
    made = study([{"type": "bagging", "members": 2}, "naive"], train={"strong": {"loss": "logconf"}})
    assert baseline_of(made.cells) == "bagging"


def test_a_pairing_a_row_of_another_method() -> None:
    made = study(["naive", LOGCONF], seeds=[0, 1], grid={"models.strong": ["world/micro", "world/mini"]})
    assert pairings(made.cells) == [
        Pairing("logconf", "file:rows.jsonl", "world/nano", strong, "naive") for strong in ("world/micro", "world/mini")
    ]
    assert pairings(study(["naive"], seeds=[0, 1]).cells) == []


def test_the_same_point_of_the_grid() -> None:
    made = study(["naive", LOGCONF], grid={"train.strong.lr": [0.1, 0.2]})
    assert [(p.method, p.baseline) for p in pairings(made.cells)] == [
        ("logconf (train.strong.lr=0.1)", "naive (train.strong.lr=0.1)"),
        ("logconf (train.strong.lr=0.2)", "naive (train.strong.lr=0.2)"),
    ]
    made = study(["naive", LOGCONF], grid={"methods.1.loss.aux": [0.1, 0.2]})
    assert [p.baseline for p in pairings(made.cells)] == [
        "naive (methods.1.loss.aux=0.1)",
        "naive (methods.1.loss.aux=0.2)",
    ]


def test_a_grid_over_methods() -> None:
    """One baseline serves all; of several none is at the point of another method; a task without it has none."""
    made = study(["naive"], grid={"methods.0": ["naive", LOGCONF]})
    (one,) = pairings(made.cells)
    assert one.method.startswith("logconf (") and one.baseline == "naive (methods.0=naive)"
    made = study(["naive"], grid={"methods": [["naive"], ["naive", {"type": "bagging", "members": 2}], [LOGCONF]]})
    several = {p.method.partition(" ")[0]: p for p in pairings(made.cells)}
    assert several["bagging"].baseline is not None and several["bagging"].baseline.startswith(
        "naive (methods=['naive', {"
    )
    assert (
        several["logconf"].baseline is None
        and "stands there 2 times, never at the same point" in several["logconf"].reason
    )


def test_no_baseline_there() -> None:
    cells = study(["naive", LOGCONF], grid={"models.strong": ["world/micro", "world/mini"]}).cells
    cells = tuple(cell for cell in cells if cell.method.label != "naive" or cell.config.models.strong == "world/micro")
    assert [(p.strong, p.baseline, p.reason) for p in pairings(cells)] == [
        ("world/micro", "naive", ""),
        ("world/mini", None, "The baseline naive has no cell on this task with these models."),
    ]


def test_a_baseline_that_is_no_method_is_refused_with_the_closest() -> None:
    with pytest.raises(
        ConfigError, match=r"baseline is 'naiv'.*naive.*must be the name of a method of the study: naive, logconf"
    ):
        study(["naive", LOGCONF], baseline="naiv")
    assert study(["naive"], baseline="logconf", grid={"methods.0": ["naive", LOGCONF]}).config.baseline == "logconf"


def test_a_study_without_the_field_keeps_its_digest() -> None:
    plain, asked = study(["naive", LOGCONF]), study(["naive", LOGCONF], baseline="naive")
    assert config_digest(plain) != config_digest(asked), "its results differ in the comparisons"
    assert config_digest(plain) == config_digest(study(["naive", LOGCONF], baseline=None))
