"""The bootstrap against a slow loop, closed forms, and known truth."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binom, norm

from w2s_ray.core.errors import DataError
from w2s_ray.eval import intervals
from w2s_ray.eval.intervals import mean_interval, pgr_intervals
from w2s_ray.eval.measure import Accuracy, RocAuc


def resample(ids, correct, **options):
    """Of arms that are right as the columns of [N,A] say."""
    return intervals.resample(
        ids, [[Accuracy(right_N) for right_N in correct_NA.T] for correct_NA in correct], **options
    )


def names(n, prefix=""):
    return np.array([f"{prefix}{i:05d}" for i in range(n)])


def study(rng, num_seeds, num_rows, *, shared_luck=0.8, seed_spread=0.02, shared_rows=True):
    """Floors of 60 %, ceilings of 80 %, students of 70 % give or take their seed, so the true PGR is 0.5 (median and
    mean). Rows are hard or easy for all."""
    ids, correct = [], []
    luck_N = rng.random(num_rows)
    for seed in range(num_seeds):
        luck_N = luck_N if shared_rows else rng.random(num_rows)
        luck_N3 = np.where(rng.random((num_rows, 3)) < shared_luck, luck_N[:, None], rng.random((num_rows, 3)))
        correct.append(luck_N3 < np.array([0.6, 0.7 + rng.normal(0, seed_spread), 0.8]))
        ids.append(names(num_rows, "" if shared_rows else f"{seed}-"))
    return ids, correct


def slow_replicates(correct, shared_rows, replicates, rng):
    """The definition, one replicate, seed and arm at a time: (median PGR, mean PGR, mean student accuracy)."""
    num_seeds, num_rows = len(correct), len(correct[0])
    statistics = []
    for _ in range(replicates):
        rows = rng.choice(num_rows, num_rows)
        pgrs, students = [], []
        for _ in range(num_seeds):
            drawn = correct[rng.choice(num_seeds)]
            rows = rows if shared_rows else rng.choice(num_rows, num_rows)
            floor, student, ceiling = (sum(drawn[row, arm] for row in rows) / num_rows for arm in range(3))
            students.append(student)
            if ceiling > floor:
                pgrs.append((student - floor) / (ceiling - floor))
        statistics.append((np.median(pgrs), np.mean(pgrs), np.mean(students)))
    return np.array(statistics)


@pytest.mark.parametrize("shared_rows", [True, False])
def test_agrees_with_the_slow_loop(shared_rows):
    ids, correct = study(np.random.default_rng(0), 3, 60, shared_rows=shared_rows, seed_spread=0.05)
    slow = slow_replicates(correct, shared_rows, 1500, np.random.default_rng(1))
    accuracy_RSA = resample(ids, correct, replicates=20_000)
    fast = pgr_intervals(accuracy_RSA)
    # Compared by where the fast ends fall among the slow replicates: 2.5 % and 97.5 %, up to the error of 1500 draws
    # (0.4 %).
    for statistic, interval in enumerate((fast.median, fast.mean, mean_interval(accuracy_RSA[:, :, 1]))):
        assert np.mean(slow[:, statistic] <= interval.low) == pytest.approx(0.025, abs=0.015)
        assert np.mean(slow[:, statistic] >= interval.high) == pytest.approx(0.025, abs=0.015)


def test_crossed_rows_are_drawn_once_for_all_seeds():
    """Seeds with the same answers: shared rows make them move together, rows of their own average out."""
    one = np.random.default_rng(0).random((400, 3)) < [0.6, 0.7, 0.8]
    crossed = resample([names(400)] * 4, [one] * 4)
    assert np.ptp(crossed, axis=1).max() == 0.0
    nested = resample([names(400, f"{s}-") for s in range(4)], [one] * 4)
    ratio = crossed.mean(axis=1).std(axis=0) / nested.mean(axis=1).std(axis=0)
    assert ratio == pytest.approx(np.full(3, 2.0), rel=0.15)  # sqrt(4 seeds)


def test_one_seed_gives_the_binomial_interval_of_its_accuracy():
    correct = np.stack([np.arange(200) < 140] * 3, axis=1)
    low, high = mean_interval(resample([names(200)], [correct], replicates=20_000)[:, :, 0])
    assert low == pytest.approx(binom.ppf(0.025, 200, 0.7) / 200, abs=0.0051)
    assert high == pytest.approx(binom.ppf(0.975, 200, 0.7) / 200, abs=0.0051)


def test_without_variance_the_interval_is_the_point():
    flat = np.tile([False, True, True], (50, 1))
    accuracy_RSA = resample([names(50)] * 3, [flat] * 3)
    assert pgr_intervals(accuracy_RSA) == ((1.0, 1.0), (1.0, 1.0), 0.0)
    assert mean_interval(accuracy_RSA[:, :, 0]) == (0.0, 0.0)
    # A student that is the floor recovers nothing on any rows, and one that is the ceiling everything.
    floor, ceiling = np.arange(50) < 20, np.arange(50) < 40
    for student, pgr in ((floor, 0.0), (ceiling, 1.0)):
        assert pgr_intervals(resample([names(50)], [np.stack([floor, student, ceiling], axis=1)])).median == (pgr, pgr)


def test_only_seeds_vary_when_rows_are_constant():
    """Students all right or all wrong: the replicates' mean PGR is binomial over the drawn seeds."""
    correct = [np.tile([False, student, True], (10, 1)) for student in (False, True, True)]
    accuracy_RSA = resample([names(10)] * 3, correct, replicates=20_000)
    shares = np.bincount(np.round(3 * accuracy_RSA[:, :, 1].mean(axis=1)).astype(int), minlength=4) / 20_000
    assert shares == pytest.approx(binom.pmf(range(4), 3, 2 / 3), abs=0.02)


def test_the_order_of_rows_does_not_matter_and_the_seed_decides():
    rng = np.random.default_rng(2)
    ids, correct = study(rng, 3, 80)
    orders = [rng.permutation(80) for _ in range(3)]
    plain = resample(ids, correct, replicates=50, seed=7)
    shuffled = resample(
        [i[o] for i, o in zip(ids, orders, strict=True)],
        [c[o] for c, o in zip(correct, orders, strict=True)],
        replicates=50,
        seed=7,
    )
    assert np.array_equal(plain, shuffled)
    assert np.array_equal(plain, resample(ids, correct, replicates=50, seed=7))
    assert not np.array_equal(plain, resample(ids, correct, replicates=50, seed=8))


def test_blocks_only_bound_the_memory(monkeypatch):
    ids, correct = study(np.random.default_rng(2), 2, 300)
    whole = pgr_intervals(resample(ids, correct, replicates=4000))
    monkeypatch.setattr(intervals, "BLOCK", 1000)
    blocked = pgr_intervals(resample(ids, correct, replicates=4000))
    assert np.ravel(blocked.median) == pytest.approx(np.ravel(whole.median), abs=0.03)


def test_draws_without_a_gap_are_left_out_and_counted():
    accuracy_RSA = np.array(
        [[[0.5, 0.6, 0.7], [0.5, 0.6, 0.5]], [[0.5, 0.7, 0.7], [0.5, 0.6, 0.7]], [[0.7, 0.6, 0.5], [0.5, 0.5, 0.5]]]
    )
    result = pgr_intervals(accuracy_RSA, level=1.0)  # replicates: {0.5, none}, {1, 0.5}, {none, none}
    assert result.undefined == pytest.approx(3 / 6)
    assert result.median == pytest.approx((0.5, 0.75))
    assert result.mean == pytest.approx((0.5, 0.75))
    assert pgr_intervals(np.full((5, 2, 3), 0.5)) == (None, None, 1.0)


def test_a_seed_at_the_edge_of_the_gap_rule_loses_few_draws():
    won, lost = 68, 41  # of 1000 rows: a difference of 2.6 standard errors
    floor, ceiling = np.arange(1000) < 500, (np.arange(1000) < 500 + won) & (np.arange(1000) >= lost)
    undefined = pgr_intervals(
        resample([names(1000)], [np.stack([floor, floor, ceiling], axis=1)], replicates=20_000)
    ).undefined
    assert 0.001 < undefined < 0.02  # P(Z < -2.6) = 0.5 %


@pytest.mark.parametrize(("num_seeds", "shared_rows"), [(1, True), (5, True), (5, False)])
def test_coverage_of_the_known_truth(num_seeds, shared_rows):
    """Nominally 95 %; the two-way bootstrap errs on the wide side where row noise matters. Below 90 % would be a broken
    interval, as would huge widths."""
    rng, studies, covered, widths = np.random.default_rng(5), 150, 0, []
    for number in range(studies):
        ids, correct = study(rng, num_seeds, 400, seed_spread=0.02 if num_seeds > 1 else 0.0, shared_rows=shared_rows)
        low, high = pgr_intervals(resample(ids, correct, replicates=300, seed=number)).median
        covered += low <= 0.5 <= high
        widths.append(high - low)
    assert covered / studies >= 0.9
    assert np.mean(widths) < 0.6


def test_more_rows_and_seeds_narrow_the_interval():
    rng = np.random.default_rng(3)
    shapes = ((3, 200), (3, 3200), (12, 200))
    widths = {shape: np.ptp(pgr_intervals(resample(*study(rng, *shape, shared_rows=False))).mean) for shape in shapes}
    assert widths[3, 3200] < 0.6 * widths[3, 200]
    assert widths[12, 200] < 0.8 * widths[3, 200]


def test_a_full_study_takes_well_under_a_second():
    ids, correct = study(np.random.default_rng(0), 10, 2000)
    start = time.process_time()
    pgr_intervals(resample(ids, correct, replicates=1000))
    assert time.process_time() - start < 1.0  # 0.05 s on an idle core


def test_nothing_to_resample_is_an_error():
    with pytest.raises(DataError, match="at least one seed"):
        resample([], [])
    with pytest.raises(DataError, match=r"ids \[3\] and rows \[\[4, 4, 4\]\]"):
        resample([names(3)], [np.ones((4, 3), dtype=bool)])


def test_an_arm_that_is_not_there_has_no_value_in_any_draw():
    better, worse = Accuracy(np.arange(100) < 80), Accuracy(np.arange(100) < 60)
    value_RSA = intervals.resample([names(100)] * 2, [[worse, better], [None, better]], replicates=400)
    drawn_RS = np.isnan(value_RSA[:, :, 0])
    assert 0.4 < drawn_RS.mean() < 0.6 and not np.isnan(value_RSA[:, :, 1]).any()
    low, high = mean_interval(value_RSA[:, :, 0])
    assert 0.45 < low < 0.6 < high < 0.75, "of the seed that has it"
    assert mean_interval(value_RSA[:, :, 1]) == mean_interval(
        intervals.resample([names(100)] * 2, [[better]] * 2, replicates=400)[:, :, 0]
    )


def test_draws_of_one_class_are_left_out():
    """Of three rows with one positive (1 - 1/3)^3 = 30 % of the draws have none, and 4 % nothing else; a replicate has
    two seeds with rows of their own."""
    arm = RocAuc(np.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]), np.array([0, 1, 0]))
    value_RSA = intervals.resample([names(3, "a"), names(3, "b")], [[arm], [arm]], replicates=4000)
    assert np.isnan(value_RSA).mean() == pytest.approx((2 / 3) ** 3 + 1 / 27, abs=0.02)
    assert mean_interval(value_RSA[:, :, 0]) == (1.0, 1.0)
    with pytest.raises(DataError, match=r"none of 5 draws .* one class"):
        mean_interval(np.full((5, 2), np.nan))


def ranked_study(rng, num_seeds, num_rows):
    """Scores of positives are 0.5 (floor), 0.8 (student) and 1.1 (ceiling) higher; the rows' luck is shared."""
    gold_N, luck_N = rng.integers(2, size=num_rows), rng.normal(size=num_rows)
    arms = []
    for _ in range(num_seeds):
        of_seed = []
        for strength in (0.5, 0.8, 1.1):
            score_N = np.round(luck_N + 0.3 * rng.normal(size=num_rows) + strength * gold_N, 1)
            of_seed.append(RocAuc(np.stack([-score_N, score_N], axis=1), gold_N))
        arms.append(of_seed)
    return [names(num_rows)] * num_seeds, arms


def test_roc_auc_agrees_with_the_slow_loop():
    ids, arms = ranked_study(np.random.default_rng(0), 3, 60)
    rng, slow = np.random.default_rng(1), []
    while len(slow) < 1000:
        rows = rng.choice(60, 60)
        drawn = [
            [RocAuc(arm.probs_NK[rows], arm.gold_N[rows]).value() for arm in arms[seed]] for seed in rng.choice(3, 3)
        ]
        pgrs = [(student - floor) / (ceiling - floor) for floor, student, ceiling in drawn if ceiling > floor]
        slow.append((np.median(pgrs) if pgrs else np.nan, np.mean([student for _, student, _ in drawn])))
    medians, students = np.array(slow).T
    value_RSA = intervals.resample(ids, arms, replicates=10_000)
    for statistic, interval in (
        (medians, pgr_intervals(value_RSA).median),
        (students, mean_interval(value_RSA[:, :, 1])),
    ):
        assert np.nanmean(statistic <= interval.low) == pytest.approx(0.025, abs=0.016)
        assert np.nanmean(statistic >= interval.high) == pytest.approx(0.025, abs=0.016)


def test_coverage_of_the_true_roc_auc():
    """Normal scores d apart have the area Phi(d / sqrt 2) (Hanley & McNeil 1982)."""
    rng, covered, studies = np.random.default_rng(6), 0, 150
    true = norm.cdf(0.8 / np.sqrt(2))
    for number in range(studies):
        gold_N = rng.integers(2, size=300)
        score_N = rng.normal(size=300) + 0.8 * gold_N
        arm = RocAuc(np.stack([-score_N, score_N], axis=1), gold_N)
        low, high = mean_interval(intervals.resample([names(300)], [[arm]], replicates=300, seed=number)[:, :, 0])
        covered += low <= true <= high
    assert covered / studies >= 0.9
