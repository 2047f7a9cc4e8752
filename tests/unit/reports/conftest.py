"""One handmade results dict: a method with a gap, one whose third seed has none, one that failed, one with gold
supervision and no gap at all."""

from __future__ import annotations

import pytest

NAMES = {"task": "topic", "weak": "world/nano", "strong": "world/small"}


def cell(method, seed, floor, student, ceiling, pgr, **more):
    return {
        "method": method,
        **NAMES,
        "seed": seed,
        "status": "ok",
        "floor": floor,
        "student": student,
        "ceiling": ceiling,
        "pgr": pgr,
        "num_test": 2000,
        "keys": {},
    } | more


@pytest.fixture
def results():
    return {
        "schema": 1,
        "name": "quickstart",
        "hypothesis": "A pretrained student outgrows\nits weak teacher.",
        "config_digest": "9f2c11d0",
        "cells": [
            cell("naive", 0, 0.6, 0.724, 0.8, 0.62, keys={"student": "train/naive-0-ab12",
            "ceiling": "train/gold-cd34"}),
            cell("naive", 1, 0.61, 0.73, 0.8, 0.6316),
            cell("naive", 2, 0.6, 0.65, 0.601, None, status="no_gap",
            reason="The ceiling (60.1%) is above the floor by too little."),
            cell("log|conf", 0, 0.6, 0.75, 0.8, 0.75),
            cell("log|conf", 1, None, None, None, None, status="failed", num_test=0,
            reason="step train/x failed:\nout of memory"),
            cell("oracle", 0, 0.6, 0.7, 0.6, None, status="no_gap", gold_supervised=True),
        ],
        "summary": [
            {
                "method": "naive", **NAMES, "num_seeds": 3,
                "pgr": {"median": 0.6258, "mean": 0.6258, "low": 0.421, "high": 0.857},
                "student": {"mean": 0.7013, "low": 0.65, "high": 0.7399}, "floor": {"mean": 0.6033},
                "ceiling": {"mean": 0.7337}, "num_test": 2000,
                "excluded": [{"seed": 2, "reason": "The ceiling (60.1%) is above the floor by too little."}],
            },
            {"method": "log|conf", **NAMES, "num_seeds": 1, "pgr": {"median": 0.75, "mean": 0.75, "low": 0.6,
            "high": 0.9}, "student": {"mean": 0.75, "low": 0.73, "high": 0.77}},
            {
                "method": "oracle", **NAMES, "num_seeds": 1, "pgr": {"median": None, "mean": None, "low": None,
                "high": None},
                "student": {"mean": 0.7, "low": 0.68, "high": 0.72}, "floor": {"mean": 0.6}, "ceiling": {"mean": 0.6},
                "num_test": 2000,
                "excluded": [{"seed": 0, "reason": "The ceiling is not above the floor."}], "placements": ["1 x cpu",
                "4 x gpu, ZeRO 3"],
            },
        ],
        "steps": {"executed": 12, "reused": 30, "failed": 1},
        "seconds": 725.4,
        "commit": "0123abcd",
        "ceiling_rows": "labelled",
        "a key of a later version": True,
    }  # fmt: skip


@pytest.fixture
def without_floor(results):
    """Two seeds whose weak labels came as a file."""
    reason = "The weak labels have none of the test rows, so there is no floor."
    cells = [cell("naive", seed, None, 0.72, 0.8, None, status="no_floor", reason=reason) for seed in (0, 1)]
    row = {
        "method": "naive", **NAMES, "num_seeds": 2, "pgr": {"median": None, "mean": None, "low": None, "high": None},
        "floor": None,
        "student": {"mean": 0.72, "low": 0.7, "high": 0.74}, "ceiling": {"mean": 0.8}, "num_test": 2000,
        "excluded": [{"seed": s, "reason": reason} for s in (0, 1)],
    }  # fmt: skip
    return results | {"cells": cells, "summary": [row]}
