"""`w2s plan`: the run with a context that launches nothing. Known as far as the first look into a result that is not there."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from w2s_ray.config.load import Study
from w2s_ray.core.errors import InputError
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.study.check import check_names
from w2s_ray.study.run import run_cells


@dataclass(frozen=True)
class Plan:
    """What a study would do."""

    study: Study
    to_run: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    keys: tuple[str, ...] = ()
    no_rows: str = ""  # why the rows could not be looked at


def make_plan(study: Study, store_url: str, folder: Path) -> Plan:
    """Dry-run all cells. Models must be there; rows that cannot be had now (offline) leave the plan at its cells."""
    check_names(study)
    with Context(open_store(store_url), InlineExecutor, dry=True) as context:
        try:
            run_cells(study, context)
        except InputError as error:
            if not any(cell.config.task.data.startswith("hub:") for cell in study.cells):
                raise
            return Plan(study, no_rows=str(error))
        submitted = context.submitted()
    folder.mkdir(parents=True, exist_ok=True)
    plan = {s.key.full: {"params": s.params, "inputs": s.inputs, "there": s.there} for s in submitted}
    (folder / "plan.json").write_text(json.dumps(plan, indent=1), encoding="utf-8")
    missing = [s.key for s in submitted if not s.there]
    return Plan(study, Counter(k.step for k in missing), Counter(s.key.step for s in submitted if s.there), tuple(sorted(map(str, missing))))


def print_plan(console: Console, plan: Plan, *, show_keys: bool) -> None:
    """The cells, the steps by kind, the placements."""
    config = plan.study.config
    console.print(Text.assemble((config.name, "bold"), f": {len(plan.study.cells)} cells = {_product(plan.study)}"), soft_wrap=True)
    if plan.no_rows:
        console.print(f"the rows are not at hand, so the steps cannot be counted: {plan.no_rows}", soft_wrap=True)
    else:
        table = Table("step", "to run", "in the store", box=None, pad_edge=False)
        for step in sorted({*plan.to_run, *plan.reused}):
            table.add_row(step, str(plan.to_run[step]), str(plan.reused[step]))
        console.print(table)
    for role in ("weak", "strong"):
        console.print(f"{role}: {getattr(config.models, role)} on {_resources(getattr(config.resources, role))}", soft_wrap=True)
    if show_keys:
        for key in plan.keys:
            console.print(key, soft_wrap=True)


def _product(study: Study) -> str:
    config = study.config
    points = {json.dumps(cell.point, sort_keys=True, default=list) for cell in study.cells}
    return f"{len(points)} grid points x {len(config.methods)} methods x {len(config.seeds)} seeds"


def _resources(resources: Any) -> str:
    return f"{resources.cpus:g} CPU, {resources.gpus:g} GPU, {resources.micro_tokens} tokens at once"
