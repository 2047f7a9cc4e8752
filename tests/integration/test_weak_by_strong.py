"""A ladder of models as a grid of pairs: every fit that pairs have in common is made once."""

from __future__ import annotations

from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from studies import FIT, config, run, write_rows

LADDER = ("world/nano", "world/micro", "world/mini")


def ladder(*models: str, **changes: Any) -> dict[str, Any]:
    """The study of each model with itself and every larger one, as openai/weak-to-strong's sweep.py has it."""
    pairs = [{"weak": weak, "strong": strong} for weak, strong in combinations_with_replacement(models, 2)]
    return config("naive", convention="openai", grid={"models": pairs}, **changes)


def fits(executed: list[str]) -> int:
    return sum(key.startswith("train/") for key in executed)


def test_a_ladder_of_three_is_nine_fits_and_a_second_run_none(tmp_path: Path) -> None:
    """Three gold fits, each a teacher and a ceiling, and six transfers."""
    write_rows(tmp_path)
    store = str(tmp_path / "store")
    assert fits(run(ladder(*LADDER), tmp_path, store).executed) == 9
    assert run(ladder(*LADDER), tmp_path, store).executed == []


@pytest.mark.parametrize(
    ("changes", "more"),
    [({"ceiling_on": "pool"}, 2), ({"train": {"weak": FIT, "strong": {**FIT, "lr": 0.003}}}, 2)],
    ids=["ceilings on the pool", "another recipe for the strong role"],
)
def test_where_teachers_and_ceilings_differ_the_ceilings_are_fits_of_their_own(
    changes: dict[str, Any], more: int, tmp_path: Path
) -> None:
    """Two models: two teachers and three transfers, and the ceilings besides."""
    write_rows(tmp_path)
    assert fits(run(ladder(*LADDER[:2], **changes), tmp_path, str(tmp_path / "store")).executed) == 2 + 3 + more
