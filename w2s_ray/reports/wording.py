"""How numbers and their absence read in every report: percent with one decimal, `0.63 [0.42, 0.86]`, `no gap`."""

from __future__ import annotations

from dataclasses import dataclass

from w2s_ray.reports.schema import Difference, MeanScore, Results, SummaryRow, SweepPair

NOTHING = "–"
GOLD_MARK = "†"  # the student saw gold labels
SAW_GOLD = (
    "The student saw gold labels that a weak-to-strong student would not have; not comparable with the other rows."
)

# How a cell ended.
STATES = {"ok": "ok", "no_gap": "no gap", "no_floor": "no floor", "no_ceiling": "no ceiling", "failed": "failed"}

# What a recipe that a search found was selected on.
SELECTED = {
    "heldout": "selected on gold labels of the labelled half's held-out rows",
    "weak_labels": "selected by agreement with the weak teacher's labels on held-out pool rows",
    "gold": "ORACLE: selected on gold labels of the test rows, so no number on these rows is an honest one",
}


def percent(value: float | None) -> str:
    """0.7244 -> 72.4 %."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


@dataclass(frozen=True)
class Scale:
    """How values of a study's metric read: accuracies as 72.4 %, ROC-AUC as 0.724."""

    name: str
    differences: str  # heading of their column
    times: int
    digits: int
    mark: str
    unit: str  # of a difference

    def show(self, value: float | None) -> str:
        return NOTHING if value is None else f"{self._number(value)}{self.mark}"

    def mean(self, value: MeanScore | None) -> str:
        """The mean over seeds, without its interval."""
        return self.show(value.mean if value else None)

    def mean_with_interval(self, value: MeanScore | None) -> str:
        """72.4 % [71.0, 73.9]."""
        if value is None or value.low is None or value.high is None:
            return self.mean(value)
        return f"{self.show(value.mean)} [{self._number(value.low)}, {self._number(value.high)}]"

    def lead(self, value: float) -> str:
        """-0.0384 -> -3.8 (points), or -0.038; a rounded zero has no sign."""
        return _signed(self.times * value, self.digits)

    def lead_with_interval(self, value: Difference, unit: str = "") -> str:
        """-3.8 [-5.2, -1.9]."""
        return f"{self.lead(value.mean)}{unit} [{self.lead(value.low)}, {self.lead(value.high)}]"

    def _number(self, value: float) -> str:
        return f"{self.times * value:.{self.digits}f}"


SCALES = {
    "accuracy": Scale("accuracy", "points of accuracy", 100, 1, " %", " points"),
    "auroc": Scale("ROC-AUC", "difference in ROC-AUC", 1, 3, "", ""),
}


def scale_of(results: Results) -> Scale:
    """That of the study's metric."""
    return SCALES[results.metric]


def gap_recovered(row: SummaryRow) -> str:
    """The median over seeds with its interval."""
    pgr = row.pgr
    if pgr.median is None:
        return no_ratio(row)
    return (
        ratio(pgr.median)
        if pgr.low is None or pgr.high is None
        else f"{ratio(pgr.median)} [{ratio(pgr.low)}, {ratio(pgr.high)}]"
    )


def no_ratio(row: SummaryRow | SweepPair) -> str:
    """Why there is none."""
    if row.ceiling is None:
        return "no ceiling"
    return "no floor" if row.floor is None else "no gap"


def ratio(value: float | None) -> str:
    """Two decimals; a rounded zero has no sign."""
    return NOTHING if value is None else f"{round(value, 2) + 0.0:.2f}"


def seeds(row: SummaryRow, num_cells: int) -> str:
    """`3`, or `2 of 3` when one of the cells of this row failed or has no gap or floor."""
    counted, asked = row.num_seeds - len(row.excluded), max(row.num_seeds, num_cells)
    return str(counted) if counted == asked else f"{counted} of {asked}"


def seed_shown(seed: int | None) -> str:
    """Of an imported run it may not be known."""
    return NOTHING if seed is None else str(seed)


def duration(seconds: float) -> str:
    """41.3 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def ratio_difference(value: float | None) -> str:
    """+0.04, of two gaps recovered."""
    return NOTHING if value is None else _signed(value, 2)


def _signed(value: float, digits: int) -> str:
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def probability(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}"
