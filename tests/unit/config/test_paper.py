"""The studies of published tables and the numbers beside them belong together."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from w2s_ray.config.load import Study, load_study
from w2s_ray.data.prepare import format_of

PAPER = Path(__file__).parents[3] / "experiments" / "paper"
STUDIES: dict[str, Study] = {(study := load_study(path)).config.name: study for path in sorted(PAPER.rglob("*.yaml"))}
ROWS = list(csv.DictReader((PAPER / "published.csv").read_text(encoding="utf-8").splitlines()))


def test_every_study_has_numbers_and_every_number_a_study() -> None:
    assert {row["study"] for row in ROWS} == set(STUDIES)
    for row in ROWS:
        methods = {str(cell.method.label) for cell in STUDIES[row["study"]].cells}
        assert row["method"] in methods | {"gold"}
        assert row["exact"] in ("yes", "approximate") and row["source"]
        float(row["value"])


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith("openai")])
def test_a_ladder_has_every_pair_once_and_a_recipe_a_model(name: str) -> None:
    """Weak is never the larger one; every model learns alike in both roles; each dataset gets its own format."""
    study = STUDIES[name]
    ladder = [pair["strong"] for pair in study.config.grid["models"] if pair["weak"] == study.config.models.weak]
    assert len(ladder) == 7
    pairs = [(ladder.index(pair["weak"]), ladder.index(pair["strong"])) for pair in study.config.grid["models"]]
    assert pairs == [(weak, strong) for weak in range(7) for strong in range(weak, 7)]
    for model in ladder:
        assert study.config.train.of("weak", model) == study.config.train.of("strong", model)
    assert [study.config.train.of("weak", model).lr for model in ladder] == [5e-5, 5e-5, *[1e-5] * 5], (
        "their MODEL_CONFIGS"
    )
    assert study.config.ceiling_on == "labelled"
    assert {format_of(cell.config.task).type for cell in study.cells} == {name.removeprefix("openai-")}


def test_datasets_are_told_apart_and_pinned() -> None:
    cells = STUDIES["eleuther-losses"].cells
    labels = list(dict.fromkeys(cell.task_label for cell in cells))
    formats = list(dict.fromkeys(format_of(cell.config.task).type for cell in cells))
    assert len(labels) == len(formats) == 17
    dropped_or_unpinned = {"openbookqa", "mc_taco", "quail", "twitter_sentiment"}
    assert not dropped_or_unpinned & set(formats) and not any(name.startswith("ethics") for name in formats)
    assert {(cell.config.task.labelled, cell.config.task.pool, cell.config.task.balance) for cell in cells} == {
        (6000, 6000, True)
    }
