"""Cells to summary rows."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from w2s_ray.core.errors import DataError
from w2s_ray.eval.gap import measure_gap
from w2s_ray.eval.summary import CellScore, summarise

IDS = np.array([f"r{i:04d}" for i in range(300)])


def cell(seed, *, method="naive", student=0.7, ceiling=0.8, strong="world/small"):
    rng = np.random.default_rng([seed, len(method)])
    luck = rng.random(len(IDS))
    return CellScore(method, "topic", "world/nano", strong, seed, IDS, luck < 0.6, luck < student, luck < ceiling, {"accuracy": student})


def test_a_row_a_group_with_the_numbers_of_its_seeds():
    cells = [cell(0), cell(1), cell(2), cell(0, method="logconf", student=0.75)]
    naive, logconf = summarise(cells)
    assert [naive["method"], logconf["method"]] == ["naive", "logconf"]
    assert (naive["task"], naive["weak"], naive["strong"], naive["num_seeds"], naive["num_test"], naive["excluded"]) == (
        "topic",
        "world/nano",
        "world/small",
        3,
        300,
        [],
    )
    gaps = [measure_gap(c.floor_N, c.student_N, c.ceiling_N) for c in cells[:3]]
    assert naive["pgr"]["median"] == pytest.approx(np.median([g.pgr for g in gaps]))
    assert naive["pgr"]["mean"] == pytest.approx(np.mean([g.pgr for g in gaps]))
    for arm in ("floor", "student", "ceiling"):
        assert naive[arm]["mean"] == pytest.approx(np.mean([getattr(g, arm) for g in gaps]))
        assert naive[arm]["low"] < naive[arm]["mean"] < naive[arm]["high"]
    assert naive["pgr"]["low"] < naive["pgr"]["median"] < naive["pgr"]["high"]
    assert naive["pgr"]["mean_low"] < naive["pgr"]["mean"] < naive["pgr"]["mean_high"]


def test_rows_do_not_depend_on_the_order_of_their_cells():
    cells = [cell(s, strong=strong) for s in range(4) for strong in ("world/small", "world/mini")]
    shuffled = random.Random(0).sample(cells, len(cells))
    one, other = ({row["strong"]: row for row in summarise(some)} for some in (cells, shuffled))
    assert one == other and set(one) == {"world/small", "world/mini"}


def test_seeds_without_a_gap_are_excluded_from_pgr_with_the_reason_but_not_from_accuracy():
    cells = [cell(0), cell(1), cell(2, ceiling=0.6)]
    (row,) = summarise(cells)
    assert row["num_seeds"] == 3
    assert [e["seed"] for e in row["excluded"]] == [2] and "not above the floor" in row["excluded"][0]["reason"]
    (without,) = summarise(cells[:2])
    assert row["pgr"] == without["pgr"]
    assert row["ceiling"]["mean"] == pytest.approx(np.mean([c.ceiling_N.mean() for c in cells]))


def test_a_group_without_any_gap_has_no_pgr_and_keeps_its_accuracies():
    (row,) = summarise([cell(s, ceiling=0.6) for s in range(2)])
    assert set(row["pgr"].values()) == {None}
    assert len(row["excluded"]) == 2 and row["student"]["mean"] > 0.6


def test_min_errors_is_the_rule_of_exclusion():
    marginal = cell(0, ceiling=0.62)
    assert summarise([marginal])[0]["excluded"] == []  # the same luck in both arms: paired, a small gap is clear
    assert len(summarise([marginal], min_errors=50.0)[0]["excluded"]) == 1


def test_everything_is_plain_json():
    rows = summarise([cell(0), cell(1, ceiling=0.6)])
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_the_same_seed_twice_and_other_shapes_are_errors():
    with pytest.raises(DataError, match="seed 0 stands twice"):
        summarise([cell(0), cell(1), cell(0)])
    with pytest.raises(DataError, match=r"naive on topic, world/nano -> world/small, seed 0.*300 test ids"):
        replace(cell(0), student_N=np.ones(299, dtype=bool))


def test_no_cells_no_rows():
    assert summarise([]) == []
