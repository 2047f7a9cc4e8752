"""The splits of a task as files, for teachers that are made elsewhere. A file of labels joins by the ids that stand
there, and a label is written as such a file spells it.

The labelled half has its labels. Those of pool and test rows are gold that no teacher may see: they are written where
they are asked for, and never else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from w2s_ray.config.load import Study
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, InputError
from w2s_ray.core.labels import LabelSet
from w2s_ray.data.formats import draws
from w2s_ray.data.prepare import Prepared, format_name, format_of, prepare

FileType = Literal["jsonl", "parquet"]
FOR_TEACHERS = ("labelled", "heldout")  # whose gold a teacher may learn from
TASK = "task.json"  # what the files beside it are


def export(study: Study, folder: Path, file_type: FileType, *, gold: bool, force: bool) -> dict[str, int]:
    """Write a file for each split, and what they are; returns how many rows each has."""
    specs = {cell.config.task.model_dump_json(): cell.config.task for cell in study.cells}
    if len(specs) > 1:
        raise ConfigError(
            f"the grid makes {len(specs)} tasks, and one is exported; choose it with --set grid={{}} and, if it is"
            " another one than the study's own, --set task.data=…"
        )
    (spec,) = specs.values()
    prepared, fmt = prepare(spec, study.base), format_of(spec)
    told = {name: gold or name in FOR_TEACHERS for name in prepared.splits}
    files = {folder / f"{name}.{file_type}": list(_rows(prepared, name, told[name])) for name in prepared.splits}
    facts = {
        "data": spec.data, "format": format_name(spec), "seed": spec.seed, "kind": fmt.kind.name,
        "classes": list(prepared.splits["pool"].classes), "rows": prepared.facts["sizes"],
        "with_labels": [name for name, labels in told.items() if labels], "drawn": draws(fmt),
    }  # fmt: skip
    _check_new([*files, folder / TASK], force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, rows in files.items():
            _write(path, rows)
        (folder / TASK).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}); name another folder") from None
    return {path.name: len(rows) for path, rows in files.items()}


def _check_new(paths: list[Path], force: bool) -> None:
    there = [path for path in paths if path.exists()]
    if there and not force:
        raise InputError(f"{there[0]} is there already; name another folder with --out, or replace it with --force")


def _rows(prepared: Prepared, split: str, told: bool) -> Iterator[dict[str, Any]]:
    data = prepared.splits[split]
    columns: dict[str, list[Any]] = {name: data.inputs[name].tolist() for name in data.kind.columns}
    if data.kind.placed:
        columns["choices"] = [json.loads(choices) for choices in columns["choices"]]
    if data.sources is not None:
        columns["source"] = data.sources.tolist()
    if told:
        columns["label"] = _labels(data, prepared.gold[split])
    for id, *cells in zip(data.ids.tolist(), *columns.values(), strict=True):
        yield {"id": id, **dict(zip(columns, cells, strict=True))}


def _labels(data: Dataset, gold: LabelSet | Answers) -> list[str]:
    """The class; where the order of a row's texts is drawn, the right text itself; of a generation the answer."""
    if isinstance(gold, Answers):
        return [str(text) for text in gold.align(data.ids).texts_N]
    right_N = gold.align(data.ids).hard_N
    if not data.kind.offers:
        return [data.classes[right] for right in right_N]
    texts = (
        data.candidates if data.kind.placed else zip(*(data.inputs[name] for name in data.kind.columns), strict=True)
    )
    return [str(offered[right]) for offered, right in zip(texts, right_N, strict=True)]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
