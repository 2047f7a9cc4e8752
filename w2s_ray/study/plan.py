"""What a study would compute: the run with a context that launches nothing. Known as far as the first look into a
result that is not there."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from w2s_ray.config.load import Study
from w2s_ray.core.errors import InputError
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.study.check import check_names
from w2s_ray.study.foresee import Foreseen, foresee, lacking_here
from w2s_ray.study.results import check_writable
from w2s_ray.study.run import run_cells


@dataclass(frozen=True)
class Plan:
    """What a study would do."""

    study: Study = field(repr=False)
    to_run: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    keys: tuple[str, ...] = field(default=(), repr=False)
    no_rows: str = ""  # why the rows could not be looked at
    cut_short: int = 0  # cells that look into results which are not there yet, and go on from them
    foreseen: Foreseen = field(default_factory=Foreseen, repr=False)


def make_plan(study: Study, store_url: str, folder: Path, *, here: bool = False) -> Plan:
    """Dry-run all cells. Rows that cannot be had now (offline) leave the plan at its cells. `here`: the study would run
    on this machine, which must then have what it needs."""
    check_names(study)
    store = open_store(store_url)
    with Context(store, InlineExecutor, dry=True, read_only=store.read_only()) as context:
        try:
            runs = run_cells(study, context)
        except InputError as error:
            if not any(cell.config.task.data.startswith("hub:") for cell in study.cells):
                raise
            lacking = lacking_here(study, here=here)
            return Plan(study, no_rows=str(error), foreseen=Foreseen(problems=(*([str(error)] * here), *lacking)))
        submitted = context.submitted()
        wrong = next((run for run in runs if run.users), None)
        if wrong is not None:
            raise InputError(f"{wrong.cell.method_label}: {wrong.error}")
        foreseen = foresee(study, context, submitted, here=here)
    check_writable(folder)
    plan = {
        s.key.full: {"params": s.params, "inputs": s.inputs, "version": s.version, "there": s.there} for s in submitted
    }
    part = folder / "plan.json.part"
    part.write_text(json.dumps(plan, indent=1), encoding="utf-8")
    os.replace(part, folder / "plan.json")
    missing = [s.key for s in submitted if not s.there]
    return Plan(
        study,
        Counter(k.step for k in missing),
        Counter(s.key.step for s in submitted if s.there),
        tuple(sorted(map(str, missing))),
        cut_short=sum(run.planned for run in runs),
        foreseen=foreseen,
    )


def product(study: Study) -> str:
    """`4 grid points x 2 methods x 3 seeds`."""
    config = study.config
    points = {json.dumps(cell.point, sort_keys=True, default=list) for cell in study.cells}
    counts = ((len(points), "grid point"), (len(config.methods), "method"), (len(config.seeds), "seed"))
    return " x ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in counts)
