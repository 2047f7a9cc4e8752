"""`run` and `plan` of a study, from a script, a notebook or a thread of a program.

No signal is handled and nothing of this process is redirected: Ctrl-C, or a notebook's stop, is a KeyboardInterrupt
that ends what runs and keeps what is finished.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.text import Text

from w2s_ray.api.given import Given, taken
from w2s_ray.api.progress import shown_here
from w2s_ray.api.results import StudyResults
from w2s_ray.config.place import Place, load_place
from w2s_ray.engine.folders import written
from w2s_ray.reports.console import Terminal
from w2s_ray.study.conduct import conduct
from w2s_ray.study.plan import Plan, make_plan


def run(
    study: Given, *, store: str | Path | None = None, runs: str | Path | None = None, local: bool = False,
    address: str | None = None, budget: float | None = None, place: str | Path | None = None, quiet: bool = False,
    sets: Sequence[str] = (),
) -> StudyResults:  # fmt: skip
    """Run a study, or continue it, as `w2s run` does; it has the options of the same names. Called again, it computes
    nothing.

    Raises InputError for what is wrong in the study, Interrupted where it was stopped from elsewhere or its budget is
    spent. A failed cell does not raise: see `failures` and `raise_for_failures()` of what is returned.
    """
    where = _place(store, runs, place, address, budget)
    of = taken(study, sets, resources=where.resources)
    console = Terminal(stderr=True, force_jupyter=False)
    console.quiet = quiet
    view = nullcontext(lambda event: None) if quiet else shown_here(console, of)
    found = conduct(of, where, view, lambda said: console.print(Text(f"warning {said}"), soft_wrap=True), local=local)
    return StudyResults.of(found, where.runs)


def plan(
    study: Given, *, store: str | Path | None = None, runs: str | Path | None = None,
    place: str | Path | None = None, sets: Sequence[str] = (),
) -> Plan:  # fmt: skip
    """What a run would compute and what it would find, as `w2s plan` says it. Computes nothing."""
    where = _place(store, runs, place)
    of = taken(study, sets, resources=where.resources)
    with written(where.runs, of.config.name) as folder:
        return make_plan(of, where.store, folder)


def _place(
    store: str | Path | None, runs: str | Path | None, file: str | Path | None, address: str | None = None,
    budget: float | None = None,
) -> Place:  # fmt: skip
    """Where a run works: what is said, above the environment and this folder's defaults."""
    said = None if store is None else str(store)
    found = load_place(
        None if file is None else Path(file), store=said or os.environ.get("W2S_STORE"),
        runs=None if runs is None else str(runs), address=address, budget=budget,
    )  # fmt: skip
    return found.here()
