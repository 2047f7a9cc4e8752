"""`w2s tune`: a study's search, from its YAML to the best point.

Optuna's journal keeps every point, the store every fit. So a search that was killed continues, one that is given more
trials runs only those, and one that is finished is only read.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.config.load import Study, anchored, at_point, corners, searched
from w2s_ray.config.schema import SEARCH as SEARCH_USE
from w2s_ray.config.search_spec import SearchSpec, SelectOn
from w2s_ray.core.errors import FitError
from w2s_ray.core.identity import identity
from w2s_ray.core.resources import Resources
from w2s_ray.core.seeds import derive_seed
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import new_attempt, put_content
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.step import Step
from w2s_ray.engine.store import Store, WorkPlace
from w2s_ray.reports.search_files import search_files, write_search
from w2s_ray.reports.searched import Searched
from w2s_ray.study.setting import Setting
from w2s_ray.study.trial import Trials, cells_of, study_at

if TYPE_CHECKING:
    import optuna

    from w2s_ray.runtime.trials import Search

JOURNAL = "journal.log"
TRIAL = "w2s_ray.study.trial:run_trial"  # the code of both, for steps.lock; neither is launched as a step


def _slug(params: Params, inputs: Inputs) -> str:
    return f"{params['tune']['sampler']}-{len(params['tune']['space'])}-fields"


# A search's fits are steps of their own. Its state is Optuna's journal, in a work directory that is never cleared; the
# outcome after so many trials is a result.
JOURNALS = Step("journal", 1, TRIAL, _slug)
SEARCH = Step("search", 1, TRIAL, _slug)


@dataclass(frozen=True)
class Searching:
    """A search, and its keys in the store."""

    study: Study
    spec: SearchSpec
    trials: Trials
    params: dict[str, Any]
    context: Context

    @property
    def journal(self) -> Key:
        return JOURNALS.key(self.params, {})

    @property
    def select_on(self) -> SelectOn:
        """What its points are selected on; `gold` also where it starts from the recipe of a search that was selected on
        gold."""
        before = self.study.config.tuned
        return before.select_on if before is not None and before.select_on == "gold" else self.spec.select_on

    def result(self, trials: int) -> Key:
        """The key of the result after so many trials."""
        return SEARCH.key({**self.params, "trials": trials}, {})


def plan_search(study: Study, context: Context) -> Searching:
    """Check all that can be checked before a trial: each edge of the space, the models, the rows."""
    spec = searched(study)
    seeds = spec.seeds or study.config.seeds[:1]
    raw = {key: value for key, value in study.raw.items() if key not in ("tune", "tuned")}
    trials = Trials(raw, str(study.base), spec, seeds, context.store.url, study.gpus or 0)
    setting = Setting(context, study.base, study.gpus)
    cells = cells_of(study_at(trials, {}), seeds[0])
    rows = [setting.prepared(cell) for cell in cells]
    for one in rows:
        one.record()
    everywhere = [cell for there in (study, *corners(study)) for cell in there.cells]
    models = {
        name: setting.model(name).identity
        for cell in everywhere
        for name in (cell.config.models.weak, cell.config.models.strong, *cell.method.other_models)
    }
    space = [[key, identity(drawn)] for key, drawn in spec.space.items()]
    tune = identity(spec) | {"space": space}
    config = identity(study.config, SEARCH_USE)
    return Searching(
        study,
        spec,
        trials,
        {"study": config, "tune": tune, "seeds": list(seeds), "rows": [one.key.full for one in rows], "models": models},
        context,
    )


def journal_of(searching: Searching) -> str:
    """Where a search's journal lies in its store."""
    return f"{searching.context.store.url.rstrip('/')}/{searching.journal.path}/work/{JOURNAL}"


def run_plan(
    searching: Searching,
    trials: int,
    folder: Path,
    launch: Callable[[Search], None],
    told: Callable[[Any], None],
    *,
    timeout_s: float | None = None,
    concurrency: int = 0,
) -> Searched:
    """Run the search until so many trials have ended or the time is up; write its results into a folder."""
    store, spec = searching.context.store, searching.spec
    key = searching.result(trials)
    with searching.context.hold(searching.journal), _journal(store, searching.journal) as journal:
        study = _open(journal.path, searching)
        for point in [*spec.first, *(spec.grid() if spec.sampler == "grid" else ())]:
            study.enqueue_trial(spec.labelled(point), skip_if_exists=True)
        wanted = min(trials, len(list(spec.grid()))) if spec.sampler == "grid" else trials
        if sum(trial.state.is_finished() for trial in study.trials) < wanted:

            def noted(trial: Any) -> None:
                journal.sync()
                told(trial)

            launch(_experiment(searching, study, wanted, timeout_s, concurrency, noted))
        found = Searched(spec, str(key), study, wanted, searching.select_on)
        if found.complete:
            _write(searching, found, trials, folder, journal.path)
        else:
            _refuse_all_failed(found)
    return found


def _write(searching: Searching, found: Searched, trials: int, folder: Path, journal: Path) -> None:
    """The search's files; in the store too, once all its trials have ended."""
    study, raw = searching.study, searching.trials.raw
    recipes = {number: anchored(at_point(raw, point), study.base) for number, point in found.recipes.items()}
    write_search(folder, found, recipes)
    shutil.copyfile(journal, folder / JOURNAL)
    if len(found.trials) == found.wanted and not found.running:
        key, params = searching.result(trials), {**searching.params, "trials": trials}
        store = searching.context.store
        put_content(store, key, SEARCH.version, params, lambda out: _copy(folder, journal, out), found.value)


def _refuse_all_failed(found: Searched) -> None:
    reasons = [str(trial.user_attrs.get("error")) for trial in found.trials if trial.state.is_finished()]
    if reasons:
        raise FitError(
            f"none of {len(reasons)} trials has a value; mend the cause and give more --trials, or another"
            f" tune.seed to begin anew; the first said: {reasons[0]}"
        )


def _copy(folder: Path, journal: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for path in search_files(folder):
        shutil.copyfile(path, out / path.name)
    shutil.copyfile(journal, out / JOURNAL)


def _experiment(
    searching: Searching,
    study: optuna.Study,
    trials: int,
    timeout_s: float | None,
    concurrency: int,
    told: Callable[[Any], Any],
) -> Search:
    from w2s_ray.runtime.trials import Search

    spec = searching.spec
    return Search(
        study=study,
        space=spec.draw,
        sampler=lambda number: _sampler(spec, number),
        trial=TRIAL,
        payload=searching.trials,
        steps=len(searching.trials.seeds),
        trials=trials,
        demand=_demand(searching),
        roles=_roles(searching),
        told=told,
        until=time.monotonic() + (float("inf") if timeout_s is None else timeout_s),
        concurrency=concurrency,
        reduction=spec.reduction if spec.pruner == "asha" else 0.0,
    )


def _demand(searching: Searching) -> Resources:
    """What a trial holds while it runs: the more demanding of its two roles, for they come one after the other."""
    roles = _roles(searching)
    sharded = [role for role in roles if role.sharded]
    if sharded:
        return sharded[0]
    most = {name: max(getattr(role, name) for role in roles) for name in ("cpus", "memory_gb", "retries")}
    return replace(Resources(), gpus=max(role.num_gpus for role in roles), **most)


def _roles(searching: Searching) -> tuple[Resources, ...]:
    placed, gpus = searching.study.config.resources, searching.trials.gpus
    weak = placed.of("weak", gpus)
    return (weak,) if searching.spec.of_weak_alone else (weak, placed.of("strong", gpus))


def _sampler(spec: SearchSpec, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of one trial. Its random numbers depend on the trial's number, so that a search that is restarted
    draws the same points as one that is not."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # some samplers are experimental
        return _made_sampler(spec, number)


def _made_sampler(spec: SearchSpec, number: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    seed = derive_seed(spec.seed, "trial", number) % 2**32
    if spec.sampler == "tpe":
        conditional = any(drawn.when for drawn in spec.space.values())
        return samplers.TPESampler(seed=seed, multivariate=True, group=conditional)
    if spec.sampler == "gp":
        return samplers.GPSampler(
            seed=seed, independent_sampler=samplers.RandomSampler(seed=seed), warn_independent_sampling=False
        )
    if spec.sampler == "qmc":  # one sequence for all trials
        independent = samplers.RandomSampler(seed=seed)
        return samplers.QMCSampler(
            scramble=True,
            seed=spec.seed,
            independent_sampler=independent,
            warn_asynchronous_seeding=False,
            warn_independent_sampling=False,
        )
    return samplers.RandomSampler(seed=seed)


def _open(journal: Path, searching: Searching) -> optuna.Study:
    """Optuna's study in the journal, with a note of the versions that made it: other versions suggest other points."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = searching.spec
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=str(searching.journal).partition("/")[2],
        directions=["maximize" if objective.larger_is_better else "minimize" for objective in spec.objective],
        sampler=_sampler(spec, 0),
        load_if_exists=True,
    )
    if "optuna" not in study.user_attrs:
        study.set_user_attr("optuna", optuna.__version__)
        study.set_user_attr("sampler", f"{type(study.sampler).__name__}, seed {spec.seed}")
        study.set_user_attr("select_on", spec.select_on)
    return study


@dataclass
class _Journal:
    """Optuna's journal file on this machine, with a copy in the store where that is remote."""

    path: Path
    place: WorkPlace

    def sync(self) -> None:
        if not self.place.store.local:
            part = self.path.with_name(f".{JOURNAL}.{new_attempt()}")
            shutil.copyfile(self.path, part)
            self.place.keep(JOURNAL, part)


@contextmanager
def _journal(store: Store, key: Key) -> Iterator[_Journal]:
    """The journal, repaired: a driver that was killed may have left a half-written line, or Optuna's lock on the file.
    Our lease guarantees that nobody else writes."""
    place = WorkPlace(store, key)
    path = place.fetch(JOURNAL) or place.scratch / JOURNAL
    for lock in path.parent.glob(f"{JOURNAL}.lock*"):
        lock.unlink()
    if path.is_file():
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(path, end)
    journal = _Journal(path, place)
    try:
        yield journal
    finally:
        journal.sync()
