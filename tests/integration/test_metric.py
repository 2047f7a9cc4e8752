"""A real study in accuracy and in ROC-AUC: the same models, other tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from studies import config, run, write_rows

from w2s_ray.config.load import expand
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.reports.markdown import report
from w2s_ray.study.results import build_results
from w2s_ray.study.run import collect, run_cells

METHODS = ["naive", {"type": "naive", "name": "logconf", "loss": {"type": "logconf", "aux": 0.5}}]
FIT = {"epochs": 6, "lr": 0.02, "batch": 16, "pooling": "mean"}


def test_roc_auc_is_another_table_of_the_same_models(tmp_path: Path, store_url: str) -> None:
    write_rows(tmp_path)
    raw = config(
        "naive",
        seeds=(0, 1),
        methods=METHODS,
        grid={"models.strong": ["world/micro", "world/mini"]},
        train={"weak": FIT, "strong": FIT},
    )
    plain = run(raw, tmp_path, store_url)
    study = expand(raw | {"metric": "auroc"}, tmp_path)
    with Context(open_store(store_url), InlineExecutor) as context:
        runs = run_cells(study, context)
        collected = collect(study, context, runs)
        assert collected is not None
        results = build_results(study, context, runs, collected.value, 1.0, tmp_path)
        executed = {key.step for key in context.executed}
    assert executed == {"score", "collect"}, "nothing is trained again"
    assert results["metric"] == "auroc" and len(results["cells"]) == 8 and plain.scores
    values: dict[tuple[str, str, int], float] = {}
    for cell in results["cells"]:
        floor, student, ceiling = (cell["metrics"][arm]["auroc"] for arm in ("floor", "student", "ceiling"))
        assert (cell["floor"], cell["student"], cell["ceiling"]) == (floor, student, ceiling)
        assert cell["pgr"] == (pytest.approx((student - floor) / (ceiling - floor)) if cell["status"] == "ok" else None)
        assert cell["status"] == ("ok" if ceiling > floor else "no_gap")
        values[cell["method"], cell["strong"], cell["seed"]] = student
    assert "ok" in {cell["status"] for cell in results["cells"]}
    for row in results["comparisons"]["pairs"]:
        differences = [values["logconf", row["strong"], seed] - values["naive", row["strong"], seed] for seed in (0, 1)]
        assert row["difference"]["mean"] == pytest.approx(np.mean(differences))
    for entry in results["sweep"]:
        for pair in entry["pairs"]:
            assert pair["student"] == pytest.approx(
                np.mean([values[entry["method"], pair["strong"], seed] for seed in (0, 1)])
            )
    page = report(results)
    assert (
        "(ceiling − floor) in ROC-AUC" in page
        and "| difference in ROC-AUC [95 %] |" in page
        and "accuracy" not in page.partition("## Artifacts")[0]
    )
