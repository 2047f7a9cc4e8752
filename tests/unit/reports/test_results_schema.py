"""What `results.json` may hold, and what it may not."""

from __future__ import annotations

import copy
import json
import re

import numpy as np
import pytest

from w2s_ray.config.baseline import Pairing
from w2s_ray.core.errors import InputError
from w2s_ray.eval.compare import compare
from w2s_ray.eval.measure import Accuracy
from w2s_ray.eval.summary import CellScore, summarise
from w2s_ray.eval.sweep import sweep
from w2s_ray.reports.schema import Results, parse, schema_table


def test_a_good_dict_is_read_and_further_keys_are_kept(results):
    checked = parse(results)
    assert checked.version == 1 and len(checked.cells) == 6 and checked.summary[0].pgr.high == 0.857
    assert checked.model_extra == {"a key of a later version": True}
    assert [cell.seed for cell in checked.cells_of(checked.summary[1])] == [0, 1]


def test_reading_changes_nothing_and_survives_json(results):
    before = copy.deepcopy(results)
    assert parse(json.loads(json.dumps(results))) == parse(results)
    assert results == before


def put(results, path, value):
    *way, last = path
    for key in way:
        results = results[key]
    results[last] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["schema"], 2, "schema.*got 2"),
        (["name"], "", "name.*at least 1 character"),
        (["cells", 0, "status"], "fine", "cells.0.status.*'no_floor', 'no_ceiling' or 'failed'.*got 'fine'"),
        (["cells", 0, "status"], "no_ceiling", "cells.0.*'no_ceiling' has a student and no ceiling"),
        (["cells", 2, "status"], "no_floor", "cells.2.*'no_floor' has student and ceiling, and no floor"),
        (["metric"], "f1", "metric.*'accuracy' or 'auroc'.*got 'f1'"),
        (["cells", 0, "floor"], 60.0, "cells.0.floor.*less than or equal to 1.*got 60.0"),
        (["cells", 0, "pgr"], None, "cells.0.*status is 'ok'.*pgr None"),
        (["cells", 2, "pgr"], 0.4, "cells.2.*null otherwise.*pgr 0.4 with status 'no_gap'"),
        (["cells", 1, "ceiling"], None, "cells.1.*has floor, student and ceiling"),
        (["cells", 1, "pgr"], float("nan"), "cells.1.pgr.*finite"),
        (["summary", 0, "pgr", "low"], 0.9, "summary.0.pgr.*in this order.*0.9 and 0.857"),
        (["summary", 0, "pgr", "high"], None, "summary.0.pgr.*both null"),
        (["summary", 0, "pgr", "mean"], None, "summary.0.pgr.*median and mean"),
        (["summary", 1, "student", "low"], 0.78, "summary.1.student.*in this order"),
        (["steps", "reused"], -1, "steps.reused.*greater than or equal to 0"),
        (["seconds"], "soon", "seconds.*valid number.*got 'soon'"),
    ],
)
def test_rejections_name_the_key_and_the_value(results, path, value, words):
    put(results, path, value)
    with pytest.raises(InputError, match=r"(?s)mend:.*" + words):
        parse(results)


@pytest.mark.parametrize(
    "key", ["schema", "name", "hypothesis", "config_digest", "cells", "summary", "steps", "seconds"]
)
def test_the_keys_that_must_be_there(results, key):
    del results[key]
    with pytest.raises(InputError, match=rf"{key}: Field required"):
        parse(results)


def test_all_faults_are_told_at_once(results):
    results["seconds"], results["cells"][0]["seed"] = -1, "x"
    with pytest.raises(InputError) as caught:
        parse(results)
    assert "seconds" in str(caught.value) and "cells.0.seed" in str(caught.value)


def test_what_eval_makes_fits():
    luck = np.random.default_rng(0).random(200)
    ids = np.array([f"{i:03d}" for i in range(200)])
    cells = [
        CellScore(method, "topic", "nano", strong, seed, ids, *(Accuracy(luck < share) for share in (0.6, 0.7, top)))
        for method, top in (("a", 0.8), ("b", 0.5))
        for strong in ("small", "mini")
        for seed in (0, 1)
    ]
    summary = summarise(cells)
    pairings = [Pairing("b", "topic", "nano", strong, "a") for strong in ("small", "mini", "none")]
    made = {"cells": [], "summary": summary, "comparisons": compare(cells, pairings), "sweep": sweep(cells, summary)}
    steps = {"executed": 0, "reused": 0, "failed": 0}
    checked = parse(
        {"schema": 1, "name": "x", "hypothesis": "", "config_digest": "d", "steps": steps, "seconds": 0, **made}
    )
    assert [row.pgr.median is None for row in checked.summary] == [False, False, True, True]
    assert (
        checked.comparisons is not None and checked.comparisons.num_tests == 3 and len(checked.comparisons.skipped) == 1
    )
    assert [len(entry.pairs) for entry in checked.sweep] == [2, 2]


def test_what_eval_makes_of_cells_without_a_floor_fits():
    luck = np.random.default_rng(0).random(200)
    ids = np.array([f"{i:03d}" for i in range(200)])
    cells = [
        CellScore(method, "topic", "file", strong, seed, ids, None, *(Accuracy(luck < share) for share in (0.7, 0.8)))
        for method in ("a", "b")
        for strong in ("small", "mini")
        for seed in (0, 1)
    ]
    summary = summarise(cells)
    made = {
        "summary": summary,
        "comparisons": compare(cells, [Pairing("b", "topic", "file", "small", "a")]),
        "sweep": sweep(cells, summary),
    }
    steps = {"executed": 0, "reused": 0, "failed": 0}
    checked = parse(
        {
            "schema": 1,
            "name": "x",
            "hypothesis": "",
            "config_digest": "d",
            "steps": steps,
            "seconds": 0,
            "cells": [],
            **made,
        }
    )
    assert [row.floor for row in checked.summary] == [None] * 4 and [pair.floor for pair in checked.sweep[0].pairs] == [
        None,
        None,
    ]


def test_results_without_the_key_are_in_accuracy(results):
    assert parse(results).metric == "accuracy" and parse(results | {"metric": "auroc"}).metric == "auroc"


def test_the_table_documents_every_key():
    table = schema_table()
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert {len(row) for row in rows} == {4}
    assert all(row[3].strip(" |") for row in rows), "every key has a meaning"
    keys = {re.fullmatch(r"\| `(.+)`", row[0]).group(1): row[1:] for row in rows}
    assert {field.alias or name for name, field in Results.model_fields.items()} <= set(keys)
    assert keys["schema"][:2] == ["`1`", "yes"]
    assert keys["cells[].status"][0] == "`ok` or `no_gap` or `no_floor` or `no_ceiling` or `failed`"
    assert keys["summary[].pgr.median"][:2] == ["number or null", "yes"]
    assert keys["summary[].excluded[].reason"][0] == "text"
    assert keys["commit"][1] == "no"
