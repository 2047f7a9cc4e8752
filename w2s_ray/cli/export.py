"""`w2s data export`: a study's splits as files, and what to do with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from w2s_ray.cli.pin import load_pinned
from w2s_ray.cli.say import say
from w2s_ray.data.formats import draws
from w2s_ray.data.prepare import format_name, format_of
from w2s_ray.study.export import FOR_TEACHERS, TASK, FileType, export


def export_splits(
    console: Console, err: Console, file: Path, sets: Sequence[str], folder: Path, file_type: FileType, *, gold: bool,
    force: bool,
) -> None:  # fmt: skip
    """Write them, and say what stands in which."""
    study = load_pinned(file, sets, None, err, keep=False)
    for name, count in export(study, folder, file_type, gold=gold, force=force).items():
        own = name.partition(".")[0] in FOR_TEACHERS
        labels = "with labels" if own else "WITH GOLD LABELS, which no teacher may see" if gold else "without labels"
        say(console, f"{folder / name}: {count} rows {labels}")
    say(console, f"{folder / TASK}: the classes in their order, and where the rows are from")
    spec = study.config.task
    if draws(format_of(spec)):
        say(console, f"format {format_name(spec)} draws which answer a row shows, so a file of labels cannot teach it")
        return
    say(
        console,
        "label pool and test rows by their ids (columns id and label), and name that file: models: {weak:"
        ' "labels:file:PATH#label"}',
    )
