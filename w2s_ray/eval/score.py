"""The scorer: one cell's floor, student and ceiling against gold, and all cells' table. Two steps, so that a study that
is run again scores nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.config.baseline import Pairing
from w2s_ray.core.answers import Answers, load_labels
from w2s_ray.core.ids import Ids
from w2s_ray.core.labels import Floats, LabelSet
from w2s_ray.core.metrics import agreement, correctness, score, scored_ids
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import Artifact
from w2s_ray.eval.compare import compare
from w2s_ray.eval.gap import NO_FLOOR, measure_gap
from w2s_ray.eval.measure import Measure, measured
from w2s_ray.eval.said import Said, what_they_said
from w2s_ray.eval.summary import ARMS, CellScore, summarise
from w2s_ray.eval.sweep import sweep

PREDICTIONS = "predictions.parquet"
CELLS = "cells.parquet"

Labels = LabelSet | Answers


def _student_slug(params: Params, inputs: Inputs) -> str:
    student = inputs["student"]
    return student.slug if isinstance(student, Key) else ""


SCORE = Step("score", 2, "w2s_ray.eval.score:run_score", _student_slug, inline=True)
COLLECT = Step(
    "collect", 4, "w2s_ray.eval.score:run_collect", lambda params, inputs: f"{len(params['cells'])}-cells", inline=True
)


_NO_AGREEMENT = {rows: {"agreement": None, "n": 0, "reason": NO_FLOOR} for rows in ("all", "weak_right", "weak_wrong")}


def run_score(work: Work) -> JSON:
    """Metrics of the arms on the test rows, of the weak labels on the pool, and the gap. Without the input `floor`
    there is none."""
    gold, pool_gold = _labels(work, "gold_test"), _labels(work, "gold_pool")
    arms = {arm: _labels(work, arm) for arm in ARMS if arm in work.inputs}
    right = {arm: correctness(predicted, gold) for arm, predicted in arms.items()}
    ids = scored_ids(gold)
    found = {arm: _measured(work.params, predicted.align(ids), gold.align(ids)) for arm, predicted in arms.items()}
    gap = measure_gap(found.get("floor"), found["student"], found["ceiling"], min_errors=work.params["gap_se"])
    labels = _labels(work, "labels")
    _write_predictions(work.out / PREDICTIONS, gold, arms, pool_gold, labels)
    slices = json.loads((work.input("slices").path / "slices.json").read_text(encoding="utf-8")).get("test", {})
    return {
        **{name: getattr(gap, name) for name in ("status", "reason", "pgr", "num_test", *ARMS)},
        "metrics": {arm: score(predicted, gold) for arm, predicted in arms.items()},
        "labels": score(labels, pool_gold),
        "agreement": agreement(arms["student"], arms["floor"], gold) if "floor" in arms else _NO_AGREEMENT,
        "slices": {name: _on_slice(ids, set(members), right) for name, members in slices.items()},
    }


def run_collect(work: Work) -> JSON:
    """The summary over seeds, methods against the baseline, pairs of models, what was said, and every prediction of
    every cell in one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    artifacts = work.inputs["scores"]
    assert isinstance(artifacts, tuple)
    tables, cells, said = [], [], []
    for names, artifact in zip(work.params["cells"], artifacts, strict=True):
        table = pq.read_table(artifact.path / PREDICTIONS)
        cells.append(cell_score(names, table, work.params["metric"]))
        said.append((cells[-1].group, names["seed"], _said(table)))
        tables.append(_named(names, table, pa))
    pq.write_table(pa.concat_tables(tables, promote_options="default"), work.out / CELLS, compression="zstd")
    gap_se = work.params["gap_se"]
    summary = summarise(cells, min_errors=gap_se)
    pairings = [Pairing(**pairing) for pairing in work.params["pairings"]]
    return {
        "summary": summary,
        "comparisons": compare(cells, pairings, min_errors=gap_se),
        "sweep": sweep(cells, summary),
        "said": what_they_said(said),
    }


def _measured(params: Mapping[str, Any], predicted: Labels, gold: Labels) -> Measure:
    return measured(
        params["metric"], predicted.hard_N, predicted.probs_NK if isinstance(predicted, LabelSet) else None, gold.hard_N
    )


def _labels(work: Work, name: str) -> Labels:
    artifact = work.inputs[name]
    assert isinstance(artifact, Artifact)
    return load_labels(artifact.path)


def _on_slice(ids: Ids, members: set[str], right: dict[str, Any]) -> dict[str, Any]:
    """Accuracy of each arm on the rows of one kind, whatever the study's metric: a kind may hold one class alone."""
    chosen = np.array([str(i) in members for i in ids], dtype=bool)
    return {
        "n": int(chosen.sum()),
        **{arm: float(right[arm][chosen].mean()) if arm in right and chosen.any() else None for arm in ARMS},
    }


def _write_predictions(path: Path, gold: Labels, arms: dict[str, Labels], pool_gold: Labels, labels: Labels) -> None:
    """The arms on the test rows, and the labels that the student learned from on the pool's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pa.table(_columns("test", gold, arms)), pa.table(_columns("pool", pool_gold, {"labels": labels}))]
    pq.write_table(pa.concat_tables(tables, promote_options="default"), path)


def _columns(split: str, gold: Labels, labels_of: dict[str, Labels]) -> dict[str, Any]:
    """Gold, and what each said of whom it is known: class (-1 where one abstains) and probabilities, or the text."""
    ids = scored_ids(gold)
    truth = gold.align(ids)
    columns: dict[str, Any] = {
        "split": [split] * len(ids),
        "id": ids.tolist(),
        "gold" if isinstance(truth, LabelSet) else "gold_text": truth.hard_N,
    }
    for who, labels in labels_of.items():
        aligned = labels.align(ids)
        if isinstance(aligned, LabelSet):
            columns |= {f"{who}_p{k}": aligned.probs_NK[:, k] for k in range(aligned.num_classes)}
        columns[f"{who}_class" if isinstance(aligned, LabelSet) else f"{who}_text"] = aligned.hard_N
    return columns


def cell_score(names: Mapping[str, Any], table: Any, metric: str) -> CellScore:
    """A cell's arms on the test rows, from its predictions."""
    import pyarrow.compute as pc

    table = table.filter(pc.equal(table["split"], "test"))
    what = "class" if "student_class" in table.column_names else "text"
    gold_N = table["gold" if what == "class" else "gold_text"].to_numpy()
    arms = [
        (
            measured(metric, table[f"{arm}_{what}"].to_numpy(), _probs(table, arm), gold_N)
            if f"{arm}_{what}" in table.column_names
            else None
        )
        for arm in ARMS
    ]
    ids = np.asarray(table["id"].to_pylist(), dtype=np.str_)
    floor, student, ceiling = arms
    assert student is not None and ceiling is not None, "every score has them"
    return CellScore(
        names["method"], names["task"], names["weak"], names["strong"], names["seed"], ids, floor, student, ceiling
    )


def _said(table: Any) -> dict[str, Said]:
    """Of the arms on the test rows, and of the weak labels on the pool's."""
    import pyarrow.compute as pc

    found = {}
    for split, arms in (("test", ARMS), ("pool", ("labels",))):
        rows = table.filter(pc.equal(table["split"], split))
        for arm in arms:
            what = next((what for what in ("class", "text") if f"{arm}_{what}" in rows.column_names), None)
            if what is not None:
                gold_N = rows["gold" if what == "class" else "gold_text"].to_numpy()
                found[arm] = Said(rows[f"{arm}_{what}"].to_numpy(), gold_N, _probs(rows, arm))
    return found


def _probs(table: Any, arm: str) -> Floats | None:
    """probs_NK of an arm; None of texts."""
    columns = [f"{arm}_p{k}" for k in range(len(table.column_names)) if f"{arm}_p{k}" in table.column_names]
    return np.stack([table[name].to_numpy() for name in columns], axis=1) if columns else None


def _named(names: dict[str, Any], table: Any, pa: Any) -> Any:
    """The table with the cell's names as dictionary columns: a thousand cells repeat them a million times."""
    for name in ("seed", "strong", "weak", "task", "method"):
        column = pa.array([names[name]] * len(table))
        table = table.add_column(0, name, column.dictionary_encode() if name != "seed" else column)
    return table


def cell_names(cells: Sequence[Any]) -> list[dict[str, Any]]:
    """What the table calls each cell."""
    return [
        {
            "method": c.method_label,
            "task": c.task_label,
            "weak": c.config.models.weak,
            "strong": c.config.models.strong,
            "seed": c.seed,
        }
        for c in cells
    ]
