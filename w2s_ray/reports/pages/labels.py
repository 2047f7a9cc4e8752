"""The labels that the students learned from, and what became of the teachers' errors."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from w2s_ray.reports.document import Paragraph, Section, Table
from w2s_ray.reports.schema import CellResult, Group, Results, Scores
from w2s_ray.reports.wording import NOTHING, percent

FEW_CLASSES = 3  # of which all shares are shown


def labels_section(results: Results) -> Section | None:
    """A row a group of cells, means over seeds."""
    rows = [
        (*_names(group), *_numbers(results, group, [cell.labels for cell in cells if cell.labels is not None]))
        for group, cells in results.groups.items()
        if any(cell.labels is not None for cell in cells)
    ]
    if not rows:
        return None
    header = (
        "method", "task", "weak → strong", "right", "calibration error", "without a label", "pool rows",
        "class shares (gold)",
    )  # fmt: skip
    note = (
        "The labels that the student was trained on, against the gold of the pool, which the student never sees; means"
        " over seeds. A row without a label is not trained on. Calibration error: mean distance between how sure the"
        " labels are and how often they are right (Guo et al. 2017)."
    )
    return Section("Weak labels", (Table(header, tuple(rows), 3), Paragraph(note)))


def _names(group: Group) -> tuple[str, str, str]:
    method, task, weak, strong = group
    return (method, task, f"{weak} → {strong}")


def _numbers(results: Results, group: Group, scores: list[Scores]) -> tuple[str, ...]:
    rows = sum(score.n for score in scores)
    abstained = sum(score.abstained for score in scores) / rows if rows else None
    return (
        percent(_mean(score.accuracy for score in scores)),
        percent(_mean(score.ece for score in scores)),
        percent(abstained),
        f"{rows // len(scores):,}",
        _shares(results, group),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Over the seeds that have one."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _shares(results: Results, group: Group) -> str:
    """Of few classes all shares; of many the one that is farthest from gold's."""
    said = next((one.arms.get("labels") for one in results.said if one.group == group), None)
    splits = next((task.splits for task in results.tasks if task.task == group[1]), {})
    gold = splits["pool"].shares if "pool" in splits else {}
    if said is None or said.shares is None or len(gold) != len(said.shares):
        return NOTHING
    pairs = list(zip(gold, said.shares, gold.values(), strict=True))
    if len(pairs) > FEW_CLASSES:
        name, share, true = max(pairs, key=lambda pair: abs(pair[1] - pair[2]))
        return f"{name}: {percent(share)} ({percent(true)})"
    return f"{_slashed(share for _, share, _ in pairs)} ({_slashed(true for *_, true in pairs)}) %"


def _slashed(shares: Iterable[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares)


def errors_section(results: Results) -> Section | None:
    """How far the students followed their teachers on the test rows."""
    rows = [
        (*_names(group), *_followed(cells))
        for group, cells in results.groups.items()
        if any(cell.agreement is not None and cell.agreement.all.n for cell in cells)
    ]
    if not rows:
        return None
    header = (
        "method", "task", "weak → strong", "teacher's errors", "of them copied", "teacher right", "of them followed",
    )  # fmt: skip
    note = (
        "Test rows on which the teacher is wrong or right, and the share on which the student says the same; means over"
        " seeds. One that imitates follows on both; one that outgrows its teacher copies few of the errors (Burns et"
        f" al. 2023, § 5.1.2). `w2s errors {results.name}` shows the rows."
    )
    return Section("Teachers' errors", (Table(header, tuple(rows), 3), Paragraph(note)))


def _followed(cells: list[CellResult]) -> tuple[str, ...]:
    known = [cell.agreement for cell in cells if cell.agreement is not None]
    return (
        f"{fmean(one.weak_wrong.n for one in known):,.0f}",
        percent(_mean(one.weak_wrong.agreement for one in known)),
        f"{fmean(one.weak_right.n for one in known):,.0f}",
        percent(_mean(one.weak_right.agreement for one in known)),
    )
