"""The files beside a report: pictures and tables. What a report no longer has is removed."""

from __future__ import annotations

import csv
from pathlib import Path

from w2s_ray.reports.document import Document
from w2s_ray.reports.drawing import Pictures, draw, save

WRITTEN = ".report-files"  # the names of the last ones


def write_files(folder: Path, document: Document, pictures: Pictures | None = None) -> None:
    """Each under its name. Pictures that were drawn already are not drawn again."""
    pictures = draw(document) if pictures is None else pictures
    names = [*(table.file for table in document.files), *pictures]
    listed = folder / WRITTEN
    for old in listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else ():
        if old not in names and Path(old).name == old:
            (folder / old).unlink(missing_ok=True)
    for table in document.files:
        with open(folder / table.file, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(table.header)
            writer.writerows(table.rows)
    for name, picture in pictures.items():
        save(picture, folder / name)
    if names or listed.is_file():
        listed.write_text("\n".join(names), encoding="utf-8")
