"""`run` and `plan` of a study, from a script, a notebook or a thread of a program.

No signal is handled and nothing of this process is redirected: Ctrl-C, or a notebook's stop, is a KeyboardInterrupt
that ends what runs and keeps what is finished.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from w2s_ray.api.given import Given, taken
from w2s_ray.api.progress import shown_here
from w2s_ray.api.results import StudyResults
from w2s_ray.config.load import Study
from w2s_ray.config.place import Place, load_place
from w2s_ray.engine.context import Context
from w2s_ray.engine.folders import written
from w2s_ray.reports.console import Terminal, teller, warner
from w2s_ray.reports.ending import End, kept
from w2s_ray.study.conduct import Caller, Found, conduct
from w2s_ray.study.devices import on_devices
from w2s_ray.study.pins import with_pins
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
    console = _console(quiet)
    of = _meant(study, sets, where, teller(console))
    view = nullcontext(lambda event: None) if quiet else shown_here(console, of)
    caller = Caller(view, warner(console), lambda context: _kept(context, where.runs))
    return StudyResults.of(conduct(of, where, caller, local=local), where.runs)


def _meant(study: Given, sets: Sequence[str], where: Place, tell: Callable[[str], None], *, keep: bool = True) -> Study:
    """The study that is meant there."""
    return on_devices(with_pins(taken(study, sets, resources=where.resources), tell, keep=keep), where, tell)


@contextmanager
def _kept(context: Context, runs: str) -> Iterator[Callable[[Found], None]]:
    """Who follows it from elsewhere (`w2s attach`) is told how it ended."""
    with kept(context) as keep:
        yield lambda found: keep(End.of(found, runs), StudyResults.of(found, runs).table())


def _console(quiet: bool = False) -> Terminal:
    """Where the program's user looks."""
    return Terminal(stderr=True, force_jupyter=False, quiet=quiet)


def plan(
    study: Given, *, store: str | Path | None = None, runs: str | Path | None = None,
    place: str | Path | None = None, sets: Sequence[str] = (),
) -> Plan:  # fmt: skip
    """What a run would compute and what it would find, as `w2s plan` says it; what would fail is
    `plan.foreseen.problems`. Computes nothing."""
    where = _place(store, runs, place)
    of = _meant(study, sets, where, teller(_console()), keep=False)
    with written(where.runs, of.config.name) as folder:
        return make_plan(of, where.store, folder, here=where.here)


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
    return found.with_defaults()
