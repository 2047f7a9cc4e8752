"""Pairs of models as a table, and the aggregation of OpenAI's notebook by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from w2s_ray.eval.measure import Accuracy, RocAuc
from w2s_ray.eval.summary import CellScore, summarise
from w2s_ray.eval.sweep import openai_median, sweep

IDS = np.array([f"r{i:03d}" for i in range(100)])


def cell(weak, strong, seed, floor, student, ceiling, method="naive", task="topic"):
    """Accuracies in percent."""
    return CellScore(
        method,
        task,
        weak,
        strong,
        seed,
        IDS,
        *(Accuracy(np.arange(100) < right) for right in (floor, student, ceiling)),
    )


def test_runs_stand_against_means_over_seeds():
    """Floors of nano: 50 and 60, mean 55; ceilings of small: 85 and 95, mean 90. Runs: (69 - 55) / 35 = .4, (76 - 55) /
    35 = .6; of mid: (62 - 55) / 20."""
    cells = [
        cell("nano", "small", 0, 50, 69, 85),
        cell("nano", "small", 1, 60, 76, 95),
        cell("nano", "mid", 0, 50, 62, 75),
    ]
    assert openai_median(cells) == {"median_pgr_openai": pytest.approx(0.4), "num_runs_openai": 3}  # .35, .4, .6
    assert openai_median(cells[:2])["median_pgr_openai"] == pytest.approx(0.5)


def test_it_differs_from_the_median_over_seeds():
    cells = [cell("nano", "small", 0, 50, 69, 85), cell("nano", "small", 1, 60, 76, 95)]
    per_seed = np.median([(69 - 50) / 35, (76 - 60) / 35])
    assert summarise(cells)[0]["pgr"]["median"] == pytest.approx(per_seed)
    assert per_seed == pytest.approx(0.5)
    cells.append(cell("nano", "small", 2, 70, 71, 90))
    assert summarise(cells)[0]["pgr"]["median"] == pytest.approx(16 / 35)
    assert openai_median(cells)["median_pgr_openai"] == pytest.approx(
        (71 - 60) / 30
    )  # floor 60, ceiling 90: .3, .53, .37


def test_a_model_with_itself_and_ceilings_that_are_not_above_are_dropped():
    cells = [
        cell("small", "small", 0, 60, 65, 80),
        cell("mid", "small", 0, 80, 81, 80),
        cell("nano", "small", 0, 60, 70, 80),
    ]
    assert openai_median(cells) == {"median_pgr_openai": pytest.approx(0.5), "num_runs_openai": 1}
    assert openai_median(cells[:2]) == {"median_pgr_openai": None, "num_runs_openai": 0}


def test_a_gold_run_that_pairs_share_counts_once():
    """nano's floors are 50 (in two pairs) and 80: their mean is 65, not 60."""
    cells = [
        cell("nano", "small", 0, 50, 70, 90),
        cell("nano", "mid", 0, 50, 70, 90),
        cell("nano", "small", 1, 80, 85, 90),
    ]
    assert openai_median(cells)["median_pgr_openai"] == pytest.approx((70 - 65) / 25)


def test_an_entry_a_method_and_task_with_the_summarys_numbers():
    cells = [
        cell(weak, strong, seed, 50, 70 + seed, 90, method, task)
        for method in ("naive", "logconf")
        for task in ("topic", "mood")
        for weak, strong in (("nano", "small"), ("micro", "small"))
        for seed in (0, 1)
    ]
    entries = sweep(cells, summarise(cells))
    assert [(entry["method"], entry["task"]) for entry in entries] == [
        ("naive", "topic"),
        ("naive", "mood"),
        ("logconf", "topic"),
        ("logconf", "mood"),
    ]
    assert [(pair["weak"], pair["strong"]) for pair in entries[0]["pairs"]] == [("nano", "small"), ("micro", "small")]
    pair = entries[0]["pairs"][0]
    assert (pair["num_seeds"], pair["num_gap"], pair["floor"], pair["ceiling"]) == (2, 2, 0.5, 0.9)
    assert (pair["student"], pair["pgr"]) == (pytest.approx(0.705), pytest.approx(0.5125))
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries


def test_a_pair_without_a_gap_has_no_ratio():
    cells = [cell("nano", "small", 0, 50, 70, 90), cell("micro", "small", 0, 60, 70, 60)]
    pairs = sweep(cells, summarise(cells))[0]["pairs"]
    assert [(pair["pgr"], pair["num_gap"]) for pair in pairs] == [(pytest.approx(0.5), 1), (None, 0)]


def test_one_pair_of_models_is_no_sweep():
    cells = [cell("nano", "small", seed, 50, 70, 90, task=task) for seed in (0, 1) for task in ("topic", "mood")]
    assert sweep(cells, summarise(cells)) == []
    assert sweep([], []) == []


def ranked(weak, strong, floor, student, ceiling, seed=0):
    """ROC-AUC in percent: of 100 negatives so many are below the one positive."""
    gold, ids = np.arange(101) == 100, np.array([f"r{i:03d}" for i in range(101)])
    arms = [np.where(gold, above - 0.5, np.arange(101)) for above in (floor, student, ceiling)]
    return CellScore(
        "naive",
        "topic",
        weak,
        strong,
        seed,
        ids,
        *(RocAuc(np.stack([-s, s], axis=1), gold.astype(np.int64)) for s in arms),
    )


def test_in_roc_auc():
    cells = [
        ranked("nano", "small", 50, 69, 85),
        ranked("nano", "small", 60, 76, 95, seed=1),
        ranked("nano", "mid", 50, 62, 75),
    ]
    assert openai_median(cells) == {"median_pgr_openai": pytest.approx(0.4), "num_runs_openai": 3}
    pair = sweep(cells, summarise(cells, replicates=50))[0]["pairs"][0]
    assert (pair["floor"], pair["student"], pair["ceiling"]) == (
        pytest.approx(0.55),
        pytest.approx(0.725),
        pytest.approx(0.9),
    )


def test_runs_without_a_floor_have_a_place_in_the_table_and_none_in_the_median():
    cells = [cell("nano", "small", 0, 50, 70, 90), replace(cell("file", "small", 0, 0, 80, 90), floor=None)]
    (entry,) = sweep(cells, summarise(cells))
    assert (entry["median_pgr_openai"], entry["num_runs_openai"]) == (pytest.approx(0.5), 1)
    assert [(pair["floor"], pair["student"], pair["pgr"], pair["num_gap"]) for pair in entry["pairs"]] == [
        (0.5, 0.7, pytest.approx(0.5), 1),
        (None, 0.8, None, 0),
    ]
    assert openai_median(cells[1:]) == {"median_pgr_openai": None, "num_runs_openai": 0}
