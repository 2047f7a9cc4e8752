"""What of a store no kept study needs: all that neither the results of a study nor the trials of a search lead to."""

from __future__ import annotations

import calendar
import csv
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from w2s_ray.core.errors import InputError
from w2s_ray.engine.clean import Leftover
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store
from w2s_ray.eval.diagnose import DIAGNOSE
from w2s_ray.eval.score import COLLECT
from w2s_ray.reports.file import RESULTS, read_results
from w2s_ray.reports.pages.search import CSV_FILE
from w2s_ray.study.results import ENDED, KEYS, STATE

UNUSED = "results that no kept study leads to"
TABLES = (COLLECT.name, DIAGNOSE.name)  # made of results, at the end of a run, and named by no file of it
DAY_S = 86_400.0


def unused(store: Store, runs: Sequence[Path], days: float) -> list[Leftover]:
    """Artifacts older than so many days to which no study or search below these folders leads. Refuses where it cannot
    know what is needed."""
    named = set[str]().union(*(_named_below(folder, store) for folder in runs))
    records = {key: record for key in store.finished() if (record := store.record(key)) is not None}
    roots = {key for key in records if not named.isdisjoint((str(key), key.full))}
    if records and not roots:
        raise InputError(
            f"--store: {store.url} has nothing that a study below {' or '.join(map(str, runs))} names, so it is the"
            " store of others; name the store of these runs, or the folder of its own runs with --runs"
        )
    kept = _reached(roots, records)
    sizes = {key: sum(int(facts["bytes"]) for facts in record.files.values()) for key, record in records.items()}
    return [
        Leftover(key.path, UNUSED, sizes[key])
        for key, record in sorted(records.items())
        if key not in kept and _age_s(record) >= days * DAY_S
    ]


def by_step(leftovers: Iterable[Leftover]) -> dict[str, tuple[int, int]]:
    """How many, and their bytes."""
    found: dict[str, tuple[int, int]] = {}
    for one in leftovers:
        step = one.name.partition("/")[0]
        count, size = found.get(step, (0, 0))
        found[step] = (count + 1, size + one.size)
    return found


def remove_unused(store: Store, leftovers: Iterable[Leftover]) -> None:
    """The record goes first, so that a half removed result is none."""
    for one in leftovers:
        store.remove(f"{one.name}/record.json")
        store.remove(one.name)


def _named_below(runs: Path, store: Store) -> set[str]:
    """Keys that the studies and searches of a folder of runs name, all of which have ended, on this store."""
    folders = sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    if not folders:
        raise InputError(
            f"--runs: {runs} holds no study, so everything in the store would count as unneeded; name the folder that"
            " your runs are in"
        )
    found: set[str] = set()
    for folder in folders:
        search = folder / "search"
        if not (folder / RESULTS).is_file() and not search.is_dir():
            raise InputError(f"{folder} has no {RESULTS}, so what it needs is not known; {_REMEDY}")
        for state in (folder / STATE, search / STATE):
            if state.is_file() and state.read_text(encoding="utf-8") != ENDED:
                raise InputError(
                    f"{state.parent} was begun again and has not ended, so what it needs is not known; {_REMEDY}"
                )
        if (folder / RESULTS).is_file():
            found |= set(_of_study(folder, store))
        if search.is_dir():
            found |= set(_of_search(search))
    return found


_REMEDY = "run it to its end, or remove the folder if it is not wanted"


def _of_study(folder: Path, store: Store) -> Iterator[str]:
    results = read_results(str(folder), folder.parent)
    if results.store and not _is(store, results.store, folder):
        raise InputError(
            f"{folder}: its results are in the store {results.store} (from there), not in {store.url}; name that with"
            " --store, or the folder of this store's own runs with --runs"
        )
    for cell in results.cells:
        if cell.status == "failed":
            raise InputError(f"{folder}: a cell failed, so what it needs is not known; {_REMEDY}")
        yield from (str(key) for key in cell.keys.values())
    if (folder / KEYS).is_file():
        yield from (folder / KEYS).read_text(encoding="utf-8").splitlines()


def _is(store: Store, place: str, folder: Path) -> bool:
    """Whether the place that a run names, from its own folder, is this store."""
    if "://" in place or not store.local:
        return place.rstrip("/") == store.url.rstrip("/")
    return (folder / place).resolve() == Path(store.root).resolve()


def _of_search(folder: Path) -> Iterator[str]:
    try:
        with open(folder / CSV_FILE, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield from (str(key) for keys in json.loads(row["keys"] or "[]") for key in keys.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / CSV_FILE} cannot be read ({type(error).__name__}), so what the search needs is not known;"
            f" {_REMEDY}"
        ) from None


def _reached(roots: Iterable[Key], records: Mapping[Key, Record]) -> set[Key]:
    """These, what they are made from, and what was made beside them."""
    by_name = {key.full: key for key in records}
    beside: dict[str, list[Key]] = defaultdict(list)
    for key, record in records.items():
        beside[record.made_by].append(key)
    waiting, reached = list(roots), set[Key]()
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting += [by_name[name] for name in _made_from(records[key]) if name in by_name]
            waiting += beside[key.full]
    tables = {key for key in records if key.step in TABLES}
    return reached | {key for key in tables if {by_name.get(name) for name in _made_from(records[key])} <= reached}


def _made_from(record: Record) -> Iterator[str]:
    for value in record.inputs.values():
        yield from (value,) if isinstance(value, str) else value
    if record.made_by:
        yield record.made_by


def _age_s(record: Record) -> float:
    try:
        return time.time() - calendar.timegm(time.strptime(record.made_at, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return 0.0  # of what says no time nothing is removed
