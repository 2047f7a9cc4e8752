"""Cells to summary rows."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest

from w2s_ray.core.errors import DataError
from w2s_ray.core.metrics import auroc
from w2s_ray.eval.gap import measure_gap
from w2s_ray.eval.measure import Accuracy, RocAuc
from w2s_ray.eval.summary import CellScore, summarise

IDS = np.array([f"r{i:04d}" for i in range(300)])


def cell(seed, *, method="naive", student=0.7, ceiling=0.8, strong="world/small"):
    rng = np.random.default_rng([seed, len(method)])
    luck = rng.random(len(IDS))
    arms = (Accuracy(luck < share) for share in (0.6, student, ceiling))
    return CellScore(method, "topic", "world/nano", strong, seed, IDS, *arms, {"accuracy": student})


def test_a_row_a_group_with_the_numbers_of_its_seeds():
    cells = [cell(0), cell(1), cell(2), cell(0, method="logconf", student=0.75)]
    naive, logconf = summarise(cells)
    assert [naive["method"], logconf["method"]] == ["naive", "logconf"]
    assert (
        naive["task"],
        naive["weak"],
        naive["strong"],
        naive["num_seeds"],
        naive["num_test"],
        naive["excluded"],
    ) == ("topic", "world/nano", "world/small", 3, 300, [])
    gaps = [measure_gap(*c.arms) for c in cells[:3]]
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
    assert row["ceiling"]["mean"] == pytest.approx(np.mean([c.ceiling.value() for c in cells]))


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
        replace(cell(0), student=Accuracy(np.ones(299, dtype=bool)))


def test_no_cells_no_rows():
    assert summarise([]) == []


def ranked(seed, *, method="naive", strengths=(0.4, 0.8, 1.2)):
    """Three classes; scores of the own class are so much higher."""
    rng = np.random.default_rng([seed, len(method)])
    gold = rng.integers(3, size=len(IDS))
    luck = rng.normal(size=(len(IDS), 3))
    arms = []
    for strength in strengths:
        logits = luck + 0.5 * rng.normal(size=luck.shape) + strength * np.eye(3)[gold]
        arms.append(RocAuc(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), gold))
    return CellScore(method, "topic", "world/nano", "world/small", seed, IDS, *arms)


def test_a_row_in_roc_auc():
    cells = [ranked(0), ranked(1), ranked(2)]
    (row,) = summarise(cells)
    for arm in ("floor", "student", "ceiling"):
        assert row[arm]["mean"] == pytest.approx(
            np.mean([auroc(getattr(c, arm).probs_NK, c.student.gold_N).value for c in cells])
        )
        assert row[arm]["low"] < row[arm]["mean"] < row[arm]["high"]
    pgrs = [(c.student.value() - c.floor.value()) / (c.ceiling.value() - c.floor.value()) for c in cells]
    assert row["pgr"]["median"] == pytest.approx(np.median(pgrs))
    assert row["pgr"]["low"] < row["pgr"]["median"] < row["pgr"]["high"] and row["excluded"] == []


def test_the_gap_rule_in_roc_auc_says_so():
    (row,) = summarise([ranked(0, strengths=(0.8, 0.9, 0.82))])
    assert row["pgr"]["median"] is None
    (out,) = row["excluded"]
    assert re.search(r"The ceiling \(ROC-AUC 0\.\d{3}\) is (not )?above the floor \(ROC-AUC 0\.\d{3}\)", out["reason"])
    assert len(summarise([ranked(0)], min_errors=50.0)[0]["excluded"]) == 1


def test_cells_without_a_floor_have_no_ratio_and_keep_student_and_ceiling():
    cells = [replace(cell(s), floor=None) for s in range(3)]
    (row,) = summarise(cells)
    (whole,) = summarise([cell(s) for s in range(3)])
    assert (row["floor"], set(row["pgr"].values()), row["num_seeds"]) == (None, {None}, 3)
    assert [out["reason"] for out in row["excluded"]] == [
        "The weak labels have none of the test rows, so there is no floor."
    ] * 3
    assert (row["student"], row["ceiling"]) == (whole["student"], whole["ceiling"])
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_a_floor_that_some_seeds_lack_is_the_mean_of_the_others():
    (row,) = summarise([cell(0), replace(cell(1), floor=None), cell(2)])
    (without,) = summarise([cell(0), cell(2)])
    assert row["floor"]["mean"] == without["floor"]["mean"] and row["pgr"] == without["pgr"]
    assert [out["seed"] for out in row["excluded"]] == [1] and row["num_seeds"] == 3
