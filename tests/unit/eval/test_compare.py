"""Methods against a baseline: closed forms, a slow loop, known truth, what is left out."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from w2s_ray.config.baseline import Pairing
from w2s_ray.core.errors import DataError
from w2s_ray.core.metrics import auroc
from w2s_ray.eval.compare import compare
from w2s_ray.eval.intervals import mean_interval, resample
from w2s_ray.eval.measure import Accuracy, RocAuc
from w2s_ray.eval.significance import holm
from w2s_ray.eval.summary import CellScore

PLAIN = ("topic", "nano", "small")


def names(n):
    return np.array([f"r{i:04d}" for i in range(n)])


def cell(method, seed, student_N, setting=PLAIN, floor_N=None, ceiling_N=None):
    student_N = np.asarray(student_N, dtype=bool)
    nothing = np.zeros_like(student_N)
    arms = (nothing if floor_N is None else floor_N, student_N, ~nothing if ceiling_N is None else ceiling_N)
    return CellScore(method, *setting, seed, names(len(student_N)), *map(Accuracy, arms))


def pairing(method="b", setting=PLAIN, baseline="a", **more):
    return Pairing(method, *setting, baseline, **more)


def only(cells, **options):
    found = compare(cells, [pairing()], **options)
    (row,) = found["pairs"]
    return row


def synthetic(rng, tasks=1, seeds=3, pairs=1, rows=300, gain=0.05, task_spread=0.0, seed_spread=0.0, drop=()):
    """Students a of 70 %, b of 75 % on average over tasks and seeds; rows are hard or easy for both, and for all of a
    task."""
    cells = []
    for task in range(tasks):
        luck_N = rng.random(rows)
        gain_here = gain + rng.normal(0, task_spread)
        for seed in range(seeds):
            gain_now = gain_here + rng.normal(0, seed_spread)
            for pair in range(pairs):
                for method, right in (("a", 0.7), ("b", 0.7 + gain_now)):
                    luck = np.where(rng.random(rows) < 0.7, luck_N, rng.random(rows))
                    if (method, task, seed, pair) not in drop:
                        cells.append(cell(method, seed, luck < right, (f"task{task}", f"weak{pair}", "strong")))
    return cells


def all_pairings(tasks, pairs):
    return [pairing(setting=(f"task{task}", f"weak{pair}", "strong")) for task in range(tasks) for pair in range(pairs)]


def test_two_identical_methods_do_not_differ():
    rng = np.random.default_rng(0)
    cells = [
        cell(method, seed, students) for seed in range(4) for students in [rng.random(200) < 0.7] for method in "ab"
    ]
    row = only(cells)
    assert row["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert (row["wins"], row["losses"], row["ties"], row["num_seeds"]) == (0, 0, 4, 4)
    assert row["p"] == row["p_holm"] == 1.0
    assert row["pgr_difference"] == {"median": 0.0, "num_cells": 4}


def test_a_method_that_is_better_on_every_row():
    cells = [cell(method, seed, np.full(50, method == "b")) for seed in range(3) for method in "ab"]
    row = only(cells)
    assert row["difference"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert (row["wins"], row["losses"], row["ties"]) == (3, 0, 0)
    assert row["p"] == 2 / 2**3
    other = compare(cells, [pairing("a", baseline="b")])["pairs"][0]
    assert other["difference"] == {"mean": -1.0, "low": -1.0, "high": -1.0}
    assert other["losses"] == 3


def test_two_seeds_that_differ_by_known_rows():
    base = np.arange(100) < 60
    cells = [
        cell("a", 0, base),
        cell("a", 1, base),
        cell("b", 0, np.arange(100) < 70),
        cell("b", 1, np.arange(100) < 58),
    ]
    row = only(cells)
    assert row["difference"]["mean"] == pytest.approx((0.10 - 0.02) / 2)
    assert (row["wins"], row["losses"], row["ties"]) == (1, 1, 0)
    assert row["p"] == 1.0  # |10 - 2| = 8 is the smaller of the two sums, 8 and 12
    assert row["pgr_difference"]["median"] == pytest.approx(0.04), (
        "floor 0, ceiling 1: the difference of the accuracies"
    )


def test_the_gap_recovered_is_compared_where_both_have_a_gap():
    floor, ceiling = np.arange(100) < 50, np.arange(100) < 90
    arms = {"floor_N": floor, "ceiling_N": ceiling}
    cells = [cell("a", s, np.arange(100) < 60, **arms) for s in (0, 1)] + [cell("b", 0, np.arange(100) < 70, **arms)]
    cells.append(cell("b", 1, np.arange(100) < 80, floor_N=floor, ceiling_N=floor))
    assert only(cells)["pgr_difference"] == {"median": pytest.approx(10 / 40), "num_cells": 1}
    assert only([replace(c, ceiling=c.floor) for c in cells])["pgr_difference"] == {"median": None, "num_cells": 0}


def test_the_interval_is_that_of_the_paired_difference():
    cells = synthetic(np.random.default_rng(1), seeds=4)
    setting = ("task0", "weak0", "strong")
    row = compare(cells, [pairing(setting=setting)])["pairs"][0]
    a, b = ([c for c in cells if c.method == method] for method in "ab")
    accuracy_RSA = resample([c.ids for c in a], [[x.student, y.student] for x, y in zip(a, b, strict=True)])
    assert (row["difference"]["low"], row["difference"]["high"]) == pytest.approx(
        mean_interval(accuracy_RSA[:, :, 1] - accuracy_RSA[:, :, 0])
    )
    apart = [np.ptp(mean_interval(accuracy_RSA[:, :, arm])) for arm in (0, 1)]
    assert row["difference"]["high"] - row["difference"]["low"] < 0.8 * np.hypot(*apart), "what both meet drops out"


def slow_overall(cells, replicates, rng):
    """The definition, one replicate, task, seed and row at a time."""
    right = {(c.method, c.task, c.seed, c.weak): c.student.right_N for c in cells}
    tasks = sorted({c.task for c in cells})
    means = []
    for _ in range(replicates):
        of_tasks = []
        for _ in tasks:
            task = rng.choice(tasks)
            both = {
                (c.seed, c.weak)
                for c in cells
                if c.task == task and ("a", task, c.seed, c.weak) in right and ("b", task, c.seed, c.weak) in right
            }
            seeds = sorted({seed for seed, _ in both})
            num_rows = len(next(iter(right.values())))
            rows = rng.choice(num_rows, num_rows)
            differences = []
            for seed in rng.choice(seeds, len(seeds)):
                for weak in sorted(weak for s, weak in both if s == seed):
                    differences.append(
                        right["b", task, seed, weak][rows].mean() - right["a", task, seed, weak][rows].mean()
                    )
            of_tasks.append(np.mean(differences))
        means.append(np.mean(of_tasks))
    return np.array(means)


def test_an_overall_row_agrees_with_the_slow_loop_also_where_cells_are_missing():
    drop = {("a", 0, 1, 0), ("b", 2, 0, 1)}
    cells = synthetic(np.random.default_rng(2), tasks=3, pairs=2, rows=40, task_spread=0.1, seed_spread=0.05, drop=drop)
    found = compare(cells, all_pairings(3, 2), replicates=20_000)
    (row,) = found["overall"]
    assert (row["num_tasks"], row["num_groups"], row["num_cells"], row["num_seeds"]) == (3, 6, 16, 3)
    slow = slow_overall(cells, 1500, np.random.default_rng(3))
    assert np.mean(slow <= row["difference"]["low"]) == pytest.approx(0.025, abs=0.015)
    assert np.mean(slow >= row["difference"]["high"]) == pytest.approx(0.025, abs=0.015)


def test_every_task_counts_the_same_and_wins_count_cells():
    """One task with two pairs of models and three seeds, one with a single cell."""
    better, worse, base = np.arange(100) < 80, np.arange(100) < 50, np.arange(100) < 70
    settings = [(("t", weak, "s"), seed, better) for weak in ("w1", "w2") for seed in range(3)] + [
        (("u", "w1", "s"), 0, worse)
    ]
    cells = [
        cell(method, seed, right if method == "b" else base, setting)
        for setting, seed, right in settings
        for method in "ab"
    ]
    found = compare(cells, [pairing(setting=setting) for setting in dict.fromkeys(s for s, _, _ in settings)])
    (row,) = found["overall"]
    assert row["difference"]["mean"] == pytest.approx((0.10 - 0.20) / 2)
    assert (row["wins"], row["losses"], row["ties"], row["num_cells"], row["num_seeds"]) == (6, 1, 0, 7, 3)
    # Each seed's part in the mean: 2 x .1 / 6 / 2 of task t each, and -.2 / 2 more of seed 0: sums to the mean, and
    # flips together.
    parts = np.array([0.2 / 12 - 0.1, 0.2 / 12, 0.2 / 12])
    sums = [abs(parts @ signs) for signs in np.array(np.meshgrid([1, -1], [1, -1], [1, -1])).reshape(3, -1).T]
    assert row["p"] == np.mean(np.array(sums) >= abs(parts.sum()) - 1e-9)


def test_one_task_and_pair_has_no_overall_row_and_all_tests_are_adjusted_together():
    cells = synthetic(np.random.default_rng(4), tasks=2, seeds=5, gain=0.1)
    assert compare(cells, all_pairings(1, 1))["overall"] == []
    found = compare(cells, all_pairings(2, 1))
    rows = [*found["pairs"], *found["overall"]]
    assert found["num_tests"] == len(rows) == 3
    assert [row["p_holm"] for row in rows] == holm([row["p"] for row in rows])


def test_order_of_cells_and_rows_does_not_matter():
    cells = synthetic(np.random.default_rng(5), tasks=2, pairs=2)
    shuffled = []
    for one in random.Random(0).sample(cells, len(cells)):
        order = np.random.default_rng(len(shuffled)).permutation(len(one.ids))
        shuffled.append(
            replace(
                one,
                ids=one.ids[order],
                **{arm: getattr(one, arm).ordered(order) for arm in ("floor", "student", "ceiling")},
            )
        )
    assert compare(shuffled, all_pairings(2, 2)) == compare(cells, all_pairings(2, 2))


def test_missing_seeds_and_other_rows_are_left_out_and_counted():
    base = np.arange(20) < 10
    cells = [cell("a", 0, base), cell("b", 0, base), cell("a", 1, base), cell("b", 2, base), cell("a", 3, base)]
    cells.append(replace(cell("b", 3, base), ids=np.array([f"x{i}" for i in range(20)])))
    row = only(cells)
    assert row["num_seeds"] == 1
    assert [(out["seed"], out["reason"]) for out in row["left_out"]] == [
        (1, "b has no score for it."),
        (2, "a has no score for it."),
        (3, "The two were scored on different test rows."),
    ]


def test_what_cannot_be_compared_is_skipped_with_the_reason():
    base = np.arange(20) < 10
    asked = [pairing(), pairing("c", baseline=None, reason="No baseline there."), pairing("d")]
    found = compare([cell("a", 0, base), cell("b", 1, base), cell("c", 0, base), cell("d", 0, base)], asked)
    assert [row["method"] for row in found["pairs"]] == ["d"]
    assert found["skipped"] == [
        {
            "method": "b",
            "task": "topic",
            "weak": "nano",
            "strong": "small",
            "reason": "No seed is scored for both b and a.",
        },
        {"method": "c", "task": "topic", "weak": "nano", "strong": "small", "reason": "No baseline there."},
    ]
    assert compare([cell("a", 0, base)], []) is None
    assert compare([], [pairing()])["num_tests"] == 0


def test_pairs_of_models_with_other_rows_cannot_be_pooled():
    cells = synthetic(np.random.default_rng(6), pairs=2)
    cells = [replace(c, ids=np.array([f"x{i}" for i in range(300)])) if c.weak == "weak1" else c for c in cells]
    with pytest.raises(DataError, match="seed 0 of b on task0 has different test rows"):
        compare(cells, all_pairings(1, 2))


def test_everything_is_plain_json():
    found = compare(synthetic(np.random.default_rng(7), tasks=2), all_pairings(2, 1))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def ranked(rng, seeds=3, rows=200, strengths=(0.6, 1.0)):
    """Students whose scores of positives are higher by 0.6 (a) and 1.0 (b); rows are hard or easy for both."""
    cells = []
    for seed in range(seeds):
        gold = np.random.default_rng(0).integers(2, size=rows)
        luck = rng.normal(size=rows)
        for method, strength in zip("ab", strengths, strict=True):
            score = luck + 0.3 * rng.normal(size=rows) + strength * gold
            arm = RocAuc(np.stack([-score, score], axis=1), gold)
            flat, perfect = RocAuc(np.zeros((rows, 2)), gold), RocAuc(np.eye(2)[gold], gold)
            cells.append(CellScore(method, *PLAIN, seed, names(rows), flat, arm, perfect))
    return cells


def test_methods_in_roc_auc():
    cells = ranked(np.random.default_rng(11))
    row = only(cells)
    values = {(c.method, c.seed): auroc(c.student.probs_NK, c.student.gold_N).value for c in cells}
    differences = [values["b", seed] - values["a", seed] for seed in range(3)]
    assert row["difference"]["mean"] == pytest.approx(np.mean(differences)) and row["wins"] == 3
    assert row["pgr_difference"] == {"median": pytest.approx(2 * np.median(differences)), "num_cells": 3}, (
        "floors of a half, ceilings of one"
    )
    a, b = ([c.student for c in cells if c.method == method] for method in "ab")
    value_RSA = resample([names(200)] * 3, list(zip(a, b, strict=True)))
    assert (row["difference"]["low"], row["difference"]["high"]) == pytest.approx(
        mean_interval(value_RSA[:, :, 1] - value_RSA[:, :, 0])
    )
    apart = [np.ptp(mean_interval(value_RSA[:, :, arm])) for arm in (0, 1)]
    assert np.ptp(mean_interval(value_RSA[:, :, 1] - value_RSA[:, :, 0])) < 0.8 * np.hypot(*apart), (
        "what both meet drops out"
    )


def test_equal_rankings_tie_in_roc_auc():
    """Other probabilities, the same order: no difference, in no draw."""
    cells = ranked(np.random.default_rng(12))
    same = [
        replace(c, student=RocAuc(3 * o.student.probs_NK, c.student.gold_N))
        for c, o in zip(cells, [x for x in cells[::2] for _ in "ab"], strict=True)
    ]
    row = only(same)
    assert row["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0} and row["ties"] == 3 and row["p"] == 1.0


def test_students_without_a_floor_are_compared():
    cells = synthetic(np.random.default_rng(13), tasks=2, gain=0.1)
    without = compare([replace(c, floor=None) for c in cells], all_pairings(2, 1))
    whole = compare(cells, all_pairings(2, 1))
    for one, other in zip([*without["pairs"], *without["overall"]], [*whole["pairs"], *whole["overall"]], strict=True):
        assert one["pgr_difference"] == {"median": None, "num_cells": 0}
        assert {k: v for k, v in one.items() if k != "pgr_difference"} == {
            k: v for k, v in other.items() if k != "pgr_difference"
        }


@pytest.mark.parametrize(("seeds", "seed_spread"), [(1, 0.0), (5, 0.02)])
def test_coverage_of_a_known_difference(seeds, seed_spread):
    rng, covered, studies = np.random.default_rng(8), 0, 150
    for number in range(studies):
        row = compare(
            synthetic(rng, seeds=seeds, seed_spread=seed_spread), all_pairings(1, 1), replicates=300, seed=number
        )["pairs"][0]
        covered += row["difference"]["low"] <= 0.05 <= row["difference"]["high"]
    assert covered / studies >= 0.9


def test_coverage_over_tasks_that_differ():
    """Of eight tasks a percentile bootstrap covers less than it says (about 90 %): that of the tasks as drawn alone
    would cover half."""
    rng, covered, alone, studies = np.random.default_rng(9), 0, 0, 100
    for number in range(studies):
        found = compare(
            synthetic(rng, tasks=8, seeds=2, rows=200, task_spread=0.08),
            all_pairings(8, 1),
            replicates=300,
            seed=number,
        )
        (row,) = found["overall"]
        covered += row["difference"]["low"] <= 0.05 <= row["difference"]["high"]
        alone += found["pairs"][0]["difference"]["low"] <= 0.05 <= found["pairs"][0]["difference"]["high"]
    assert covered / studies >= 0.85
    assert alone < covered


def test_no_difference_is_seldom_called_one():
    """With six seeds and as good methods P(p <= 2 / 2^6) is no more than 1 / 32."""
    rng = np.random.default_rng(10)
    p = [
        compare(synthetic(rng, seeds=6, gain=0.0, rows=100), all_pairings(1, 1), replicates=10)["pairs"][0]["p"]
        for _ in range(300)
    ]
    assert np.mean(np.array(p) <= 1 / 32) <= 0.06
