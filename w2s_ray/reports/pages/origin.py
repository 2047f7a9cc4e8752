"""What a page says of results that another code made: which choices stand behind its numbers, what its teachers said,
what was odd in its folder."""

from __future__ import annotations

from w2s_ray.reports.document import Notes, Paragraph, Section, Table
from w2s_ray.reports.schema import Imported, WeakLabels
from w2s_ray.reports.wording import NOTHING, SCALES, seed_shown


def opening(imported: Imported) -> Paragraph:
    """Whose numbers these are."""
    return Paragraph(
        f"**Imported** from the result files of {imported.source} in `{imported.folder}`. Nothing was run here: the"
        " numbers are those that its scripts wrote, and what they do not say is left open."
    )


def conventions_section(imported: Imported) -> Section:
    """What a reader must know before these numbers are held against others."""
    rows = tuple(imported.conventions.items())
    return Section("How these numbers were made", (Table(("what", "how"), rows, 2),))


def weak_labels_section(imported: Imported) -> Section | None:
    """How good the teachers' labels of the pool are; nothing where none were saved."""
    if not imported.weak_labels:
        return None
    header = ("weak", "task", "seed", "pool rows", "accuracy [95 %]", "ROC-AUC [95 %]")
    note = Paragraph("On the rows that the students learn from. Intervals: bootstrap over these rows.")
    return Section("Weak labels", (Table(header, tuple(map(_labels_row, imported.weak_labels)), 3), note))


def _labels_row(labels: WeakLabels) -> tuple[str, ...]:
    accuracy, auroc = (
        SCALES["accuracy"].mean_with_interval(labels.accuracy),
        SCALES["auroc"].mean_with_interval(labels.auroc) if labels.auroc else NOTHING,
    )
    return (labels.weak, labels.task, seed_shown(labels.seed), str(labels.num_rows), accuracy, auroc)


def told_section(imported: Imported) -> Section | None:
    """What the importer left out or could not find."""
    return Section("Odd in the folder", (Notes(tuple(imported.told)),)) if imported.told else None
