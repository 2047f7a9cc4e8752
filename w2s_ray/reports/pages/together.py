"""Several studies in one table, ours and imported ones, with what tells which of their numbers may be held against each
other: the test rows, the metric, what the ceiling learned from, whose code it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from w2s_ray.config.baseline import Pairing
from w2s_ray.core.ids import Ids
from w2s_ray.eval.compare import compare
from w2s_ray.eval.gap import MIN_ERRORS
from w2s_ray.eval.summary import CellScore
from w2s_ray.reports.document import Document, Notes, Paragraph, Part, Section, Table
from w2s_ray.reports.predictions import Predictions
from w2s_ray.reports.schema import Difference, Group, Results, SummaryRow
from w2s_ray.reports.wording import (
    GOLD_MARK,
    NOTHING,
    SAW_GOLD,
    SELECTED,
    Scale,
    gap_recovered,
    probability,
    scale_of,
    seeds,
)

Setting = tuple[str, str, str]  # task, weak, strong
Cells = tuple[str, ...]
MOST_PAIRS = 40  # rows of paired differences, each of which reads the predictions of two


@dataclass(frozen=True)
class _Study:
    """One of them, under a name that the others have not."""

    label: str
    results: Results
    predictions: Predictions | None

    def rows(self, task: str) -> dict[int, Ids]:
        return {} if self.predictions is None else self.predictions.rows(task)


def together_page(studies: Sequence[Results], predictions: Sequence[Predictions] = ()) -> Document:
    """The table, what may be compared, and differences where the same rows were answered. Without predictions the test
    rows are not looked at."""
    given: list[Predictions | None] = [*predictions] or [None] * len(studies)
    named = list(map(_Study, _labels(studies), studies, given))
    sections = [_table(named), _origins(named), _comparable(named), _paired(named)]
    title = ", ".join(study.label for study in named)
    return Document(title, (), tuple(section for section in sections if section is not None))


def _labels(studies: Sequence[Results]) -> list[str]:
    """Their names; the second of a name is `NAME (2)`."""
    seen: Counter[str] = Counter()
    labels = []
    for study in studies:
        seen[study.name] += 1
        labels.append(study.name if seen[study.name] == 1 else f"{study.name} ({seen[study.name]})")
    return labels


# --- the table ---


def _table(studies: list[_Study]) -> Section:
    """A row a study, method, task and pair of models. Those of one task and pair stand together, under a heading where
    there are several; what all share stands in the title."""
    rows = [(study, row) for study in studies for row in study.results.summary]
    title, shown = _under_headings("Together", [(row.group[1:], _row(study, row)) for study, row in rows])
    header = ("study: method", "floor", "student", "ceiling", "gap recovered [95 %]", "seeds")
    table: Part = Table(header, shown, 1, grouped=True) if shown else Paragraph("No cell could be scored.")
    gold = any(study.results.saw_gold(row.group) for study, row in rows)
    marks = (Paragraph(f"{GOLD_MARK} {SAW_GOLD}"),) if gold else ()
    return Section(title, (table, *marks))


def _under_headings(title: str, rows: list[tuple[Setting, Cells]]) -> tuple[str, tuple[Cells, ...]]:
    """Rows by their settings, and the title with what all of these share."""
    settings = list(dict.fromkeys(setting for setting, _ in rows))
    if len(settings) == 1:
        return f"{title}: {_shown(settings[0])}", tuple(cells for _, cells in rows)
    shown: list[Cells] = []
    for setting in settings:
        own = [cells for there, cells in rows if there == setting]
        shown += [(_shown(setting), *[""] * (len(own[0]) - 1)), *own]
    return title, tuple(shown)


def _shown(setting: Setting) -> str:
    task, weak, strong = setting
    return f"{task}, {weak} → {strong}"


def _row(study: _Study, row: SummaryRow) -> Cells:
    scale = scale_of(study.results)
    mark = f" {GOLD_MARK}" * study.results.saw_gold(row.group)
    return (
        f"{study.label}: {row.method}{mark}",
        *(scale.mean(value) for value in (row.floor, row.student, row.ceiling)),
        gap_recovered(row),
        seeds(row, len(study.results.cells_of(row))),
    )


# --- what stands behind it ---


def _origins(studies: list[_Study]) -> Section:
    header = ("study", "made by", "metric", "ceiling learned from", "commit", "placements")
    return Section("Where they come from", (Table(header, tuple(map(_origin, studies)), len(header)),))


def _origin(study: _Study) -> Cells:
    results = study.results
    placements = sorted({place for row in results.summary for place in row.placements})
    return (
        study.label,
        _maker(results),
        scale_of(results).name,
        results.ceiling_rows or NOTHING,
        results.commit or NOTHING,
        "; ".join(placements) or NOTHING,
    )


def _maker(results: Results) -> str:
    return "w2s_ray" if results.imported is None else results.imported.source


def _comparable(studies: list[_Study]) -> Section:
    """For each task that several have, which stand on the same footing; then what else a reader must know."""
    tasks = list(dict.fromkeys(row.task for study in studies for row in study.results.summary))
    found = [line for task in tasks for line in _on_task(task, studies)]
    if not found:
        found = ["No two of them have a task of the same name, so no number stands beside another's."]
    return Section("What may be held against what", (Notes((*found, *_also(studies))),))


def _on_task(task: str, studies: list[_Study]) -> Iterator[str]:
    there = [study for study in studies if any(row.task == task for row in study.results.summary)]
    if len(there) < 2:
        return
    rows = {study.label: study.rows(task) for study in there}
    leaders: list[tuple[_Study, list[_Study]]] = []
    for study in there:
        group = next((group for first, group in leaders if not _differences(first, study, rows)), None)
        if group is None:
            leaders.append((study, group := []))
        group.append(study)
    for first, group in leaders:
        if len(group) > 1:
            names = ", ".join(study.label for study in group)
            yield f"{task}: {names} were measured alike: {_footing(first, rows[first.label])}."
    first = leaders[0][0]
    for other, group in leaders[1:]:
        names = ", ".join(study.label for study in group)
        yield f"{task}: {names} beside {first.label}: {'; '.join(_differences(first, other, rows))}."


def _footing(study: _Study, rows: dict[int, Ids]) -> str:
    counts = sorted({len(ids) for ids in rows.values()})
    on = f"on the same {' or '.join(map(str, counts))} test rows"
    return f"{on}, in {scale_of(study.results).name}, against a ceiling on the {study.results.ceiling_rows} rows"


def _differences(one: _Study, other: _Study, rows: dict[str, dict[int, Ids]]) -> list[str]:
    """Why numbers of two studies on a task are not the same measure; nothing where they are."""
    found = []
    if (told := _other_rows(rows[one.label], rows[other.label])) is not None:
        found.append(told)
    ours, theirs = one.results, other.results
    if ours.metric != theirs.metric:
        found.append(f"{scale_of(theirs).name} and {scale_of(ours).name}")
    if ours.ceiling_rows != theirs.ceiling_rows or ours.ceiling_rows is None:
        learned = [study.ceiling_rows or "unknown" for study in (theirs, ours)]
        found.append(f"a ceiling on the {learned[0]} rows and on the {learned[1]} rows, so the gap is another one")
    if _maker(ours) != _maker(theirs):
        found.append(f"made by {_maker(theirs)} and by {_maker(ours)}, whose choices differ")
    return found


def _other_rows(one: dict[int, Ids], other: dict[int, Ids]) -> str | None:
    """How the test rows of two studies differ; None where those of the seeds that both have (or else of all) are the
    same."""
    if not one or not other:
        return "whether the test rows are the same is not known"
    both = [(one[seed], other[seed]) for seed in sorted(one.keys() & other.keys())]
    pairs = both or [(ours, theirs) for ours in one.values() for theirs in other.values()]
    for ours, theirs in pairs:
        if not np.array_equal(ours, theirs):
            common = len(np.intersect1d(ours, theirs))
            return f"other test rows ({len(theirs)} and {len(ours)}, of which {common} are the same)"
    return None


def _also(studies: list[_Study]) -> Iterator[str]:
    """What does not part numbers by itself, and may explain a difference."""
    own = [study for study in studies if study.results.imported is None]
    if len({study.results.commit for study in own}) > 1:
        told = ", ".join(f"{study.label} {study.results.commit or 'not recorded'}" for study in own)
        yield f"They were made at different commits: {told}."
    if len({place for study in own for row in study.results.summary for place in row.placements}) > 1:
        yield "Not all fits ran on the same placement, which perturbs numerics."
    if len({study.results.gap_se for study in studies}) > 1:
        rules: dict[str, list[str]] = {}
        for study in studies:
            rules.setdefault(_rule(study.results), []).append(study.label)
        told = "; ".join(f"{rule} for {', '.join(labels)}" for rule, labels in rules.items())
        yield f"The ceiling must exceed the floor, or there is `no gap`: {told}."
    for study in studies:
        if study.results.tuned is not None:
            yield f"{study.label}: the recipe was tuned, {SELECTED[study.results.tuned.select_on]}."
        if study.results.imported is not None:
            yield f"{study.label} was imported: no intervals; `w2s report {study.results.name}` has its conventions."


def _rule(results: Results) -> str:
    return "at all" if results.gap_se is None else f"by more than {results.gap_se:g} standard errors"


# --- differences ---


@dataclass(frozen=True)
class _Pair:
    """A row of a study and the one of the first study that it is held against."""

    study: _Study
    row: SummaryRow
    first: _Study
    baseline: SummaryRow

    @property
    def labels(self) -> tuple[str, str]:
        return f"{self.study.label}: {self.row.method}", f"{self.first.label}: {self.baseline.method}"


def _paired(studies: list[_Study]) -> Section | None:
    """Each student against that of the first study, where both answered the same rows with the same seeds."""
    pairs = list(_pairs(studies))
    scored = {group: scores for pair in pairs[:MOST_PAIRS] for group, scores in _scores(pair)}
    pairings = [
        Pairing(pair.labels[0], *pair.row.group[1:], pair.labels[1])
        for pair in pairs[:MOST_PAIRS]
        if _meet(scored.get((pair.labels[0], *pair.row.group[1:])), scored.get((pair.labels[1], *pair.row.group[1:])))
    ]
    cells = [cell for scores in scored.values() for cell in scores]
    found = compare(cells, pairings, min_errors=studies[0].results.gap_se or MIN_ERRORS)
    if found is None:
        return None
    scale = scale_of(studies[0].results)
    entries = [(_setting(entry), _difference(entry, scale)) for entry in found["pairs"]]
    title, rows = _under_headings("Differences on the same rows", entries)
    header = ("student − student", f"{scale.differences} [95 %]", "better, worse, equal", "seeds", "p (Holm)")
    more = f" The first {MOST_PAIRS} of {len(pairs)} are shown." if len(pairs) > MOST_PAIRS else ""
    note = (
        "The student less that of the first study, with the same seeds on the same test rows. Interval: bootstrap over"
        " seeds and test rows, the same draws for both. p: sign-flip test over seeds, adjusted for"
        f" {found['num_tests']} comparisons: these{', and one over all settings of each pair' * bool(found['overall'])}"
        f".{more}"
    )
    return Section(title, (Table(header, rows, 1, grouped=True), Paragraph(note)))


def _pairs(studies: list[_Study]) -> Iterator[_Pair]:
    """Against the same method, or else its `naive`, or else its first one, of the first study, in the same metric."""
    first = studies[0]
    for study in studies[1:]:
        for row in study.results.summary if study.results.metric == first.results.metric else ():
            there = [other for other in first.results.summary if other.group[1:] == row.group[1:]]
            wanted = (row.method, "naive", *(other.method for other in there))
            named = {other.method: other for other in there}
            baseline = next((named[method] for method in wanted if method in named), None)
            if baseline is not None:
                yield _Pair(study, row, first, baseline)


def _scores(pair: _Pair) -> Iterator[tuple[Group, list[CellScore]]]:
    for label, study, row in zip(pair.labels, (pair.study, pair.first), (pair.row, pair.baseline), strict=True):
        if study.predictions is not None:
            yield (label, *row.group[1:]), study.predictions.scores(row.group, label)


def _meet(ours: list[CellScore] | None, theirs: list[CellScore] | None) -> bool:
    """Whether some seed was measured on the same rows by both."""
    rows = {cell.seed: np.sort(cell.ids) for cell in theirs or ()}
    return any(cell.seed in rows and np.array_equal(np.sort(cell.ids), rows[cell.seed]) for cell in ours or ())


def _setting(entry: dict[str, Any]) -> Setting:
    return (entry["task"], entry["weak"], entry["strong"])


def _difference(entry: dict[str, Any], scale: Scale) -> Cells:
    return (
        f"{entry['method']} − {entry['baseline']}",
        scale.lead_with_interval(Difference(**entry["difference"])),
        f"{entry['wins']}, {entry['losses']}, {entry['ties']}",
        str(entry["num_seeds"]),
        probability(entry["p_holm"]),
    )
