"""Results as data frames: one fact a column, one thing a row, the same columns and types whatever failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from w2s_ray.config.schema import suffix_of
from w2s_ray.core.errors import InputError
from w2s_ray.reports.schema import CellResult, Comparison, MeanScore, OverallRow, PairedRow, Results, SummaryRow

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("method", "task", "weak", "strong")
SCORES = ("floor", "student", "ceiling", "pgr")
ARMS = ("floor", "student", "ceiling")
SUMMARY = (
    *NAMES, "num_seeds", "num_failed", "floor", "floor_low", "floor_high", "student", "student_low", "student_high",
    "ceiling", "ceiling_low", "ceiling_high", "pgr", "pgr_low", "pgr_high", "pgr_mean", "num_test", "gold_supervised",
)  # fmt: skip
COMPARISONS = (
    "over", *NAMES, "baseline", "difference", "difference_low", "difference_high", "p", "p_holm", "wins", "losses",
    "ties", "num_seeds", "num_cells", "pgr_difference",
)  # fmt: skip
COUNTS = ("num_seeds", "num_failed", "num_test", "wins", "losses", "ties", "num_cells")


def cells(results: Results) -> pd.DataFrame:
    """A row a cell."""
    rows = [_cell(cell) for cell in results.cells]
    chosen = [dict(_flat("", _more(cell, "grid"))) for cell in results.cells]
    measured = [dict(_measured(cell)) for cell in results.cells]
    grid, metrics = _keys(chosen), _keys(measured)
    told = ("num_test", "gold_supervised", "reason", "seconds", "placement")
    columns = (*NAMES, "seed", "method_name", *grid, "status", *SCORES, *told, *metrics)
    joined = [a | b | c for a, b, c in zip(chosen, measured, rows, strict=True)]
    return _frame(joined, list(dict.fromkeys(columns)), (*SCORES, *metrics, "seconds"))


def _cell(cell: CellResult) -> dict[str, Any]:
    more = cell.model_extra or {}
    said = {name: getattr(cell, name) for name in (*NAMES, "seed", "status", *SCORES, "num_test", "gold_supervised")}
    name = cell.method.removesuffix(suffix_of(_more(cell, "grid")))
    told = {"reason": cell.reason, "seconds": more.get("seconds"), "placement": more.get("placement")}
    return {**said, "method_name": name, **told}


def _more(cell: CellResult, key: str) -> Mapping[str, Any]:
    """What a cell says of itself beside the schema: anybody's, so no mapping may stand there."""
    said = (cell.model_extra or {}).get(key)
    return said if isinstance(said, Mapping) else {}


def _measured(cell: CellResult) -> Iterator[tuple[str, float]]:
    """`student.auroc`, `labels.accuracy`: the metrics of the arms on the test rows, of the weak labels on the pool."""
    said = cell.metrics if cell.labels is None else cell.metrics | {"labels": cell.labels}
    for who, scores in said.items():
        for name, value in scores.model_dump(exclude_unset=True).items():
            if isinstance(value, (int, float)):
                yield f"{who}.{name}", float(value)


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What a grid chose, a column each: mappings by their dotted keys, lists as JSON, so that one can group by it."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}".lstrip("."), inner)
    else:
        yield key, json.dumps(value) if isinstance(value, (list, tuple)) else value


def _keys(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def summary(results: Results) -> pd.DataFrame:
    """A row a method, task and pair of models, also where no seed could be scored."""
    scored = {row.group: row for row in results.summary}
    rows = [
        {
            **dict(zip(NAMES, group, strict=True)),
            "num_seeds": 0,
            "num_failed": sum(cell.status == "failed" for cell in results.groups.get(group, ())),
            "gold_supervised": results.saw_gold(group),
            **(_over_seeds(scored[group]) if group in scored else {}),
        }
        for group in dict.fromkeys([*results.groups, *scored])
    ]
    return _frame(rows, SUMMARY, [name for name in SUMMARY if name.startswith(SCORES)])


def _over_seeds(row: SummaryRow) -> dict[str, Any]:
    pgr = row.pgr
    return {
        **{key: value for arm in ARMS for key, value in _interval(arm, getattr(row, arm)).items()},
        "pgr": pgr.median, "pgr_low": pgr.low, "pgr_high": pgr.high, "pgr_mean": pgr.mean,
        "num_seeds": row.num_seeds, "num_test": row.num_test,
    }  # fmt: skip


def _interval(arm: str, score: MeanScore | None) -> dict[str, float | None]:
    return {} if score is None else {arm: score.mean, f"{arm}_low": score.low, f"{arm}_high": score.high}


def comparisons(results: Results) -> pd.DataFrame:
    """A row a comparison."""
    made = results.comparisons
    rows: list[PairedRow | OverallRow] = [] if made is None else [*made.pairs, *made.overall]
    floats = [name for name in COMPARISONS if name.startswith(("difference", "p"))]
    return _frame([_comparison(row) for row in rows], COMPARISONS, floats)


def _comparison(row: PairedRow | OverallRow) -> dict[str, Any]:
    difference = row.difference
    where = (
        {"over": "pair", "task": row.task, "weak": row.weak, "strong": row.strong, "num_cells": row.num_seeds}
        if isinstance(row, PairedRow)
        else {"over": "all", "num_cells": row.num_cells}
    )
    counted = {name: getattr(row, name) for name in COMPARISONS if name in Comparison.model_fields}
    return {
        **counted, **where, "difference": difference.mean, "difference_low": difference.low,
        "difference_high": difference.high, "pgr_difference": row.pgr_difference.median,
    }  # fmt: skip


def predictions(place: str) -> pd.DataFrame:
    """A row a cell and row of its data."""
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(place)
    except FileNotFoundError:
        raise InputError(f"{place}: no such file; a run without a scored cell writes no predictions") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{place} cannot be read ({error}); run the study again, which writes it") from None


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], floats: Iterable[str]) -> pd.DataFrame:
    """A missing number is NaN and a missing count <NA>; a column is there, with its type, also where no row has it."""
    import pandas as pd

    types = dict.fromkeys(floats, "float64") | {name: "Int64" for name in COUNTS if name in columns}
    return pd.DataFrame(rows, columns=list(columns)).astype(types)
