"""`w2s report`: a run's report on the terminal or as a page, and a page of all runs."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path

from rich.console import Console

from w2s_ray.cli.say import say
from w2s_ray.core.errors import InputError
from w2s_ray.engine.folders import is_url
from w2s_ray.engine.store import Store, open_store
from w2s_ray.reports.console import harmless
from w2s_ray.reports.file import RESULTS, folder_of, read_results
from w2s_ray.reports.html import render_page
from w2s_ray.reports.markdown import render
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.pages.index import PAGE as INDEX
from w2s_ray.reports.pages.index import index_page
from w2s_ray.reports.schema import Results
from w2s_ray.study.results import PAGE, check_writable, write_looks


def print_report(name: str, runs: Path) -> None:
    """As Markdown."""
    sys.stdout.write(harmless(render(study_page(read_results(name, runs)))))


def write_page(out: Console, name: str, runs: str) -> Path:
    """Draw a run's page and its pictures again."""
    folder = folder_of(name, _local(runs))
    check_writable(folder)
    results = read_results(name, _local(runs))
    raw = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    write_looks(folder, raw, store_of(results, folder), again=True)
    say(out, f"page: {folder / PAGE}")
    return folder / PAGE


def store_of(results: Results, folder: Path) -> Store | None:
    """Where the run in this folder says that it is, if it is a folder that is there."""
    if not results.store or "://" in results.store:
        return None
    place = folder.resolve() / results.store
    return open_store(str(place)) if place.is_dir() else None


def write_index(out: Console, runs: str) -> Path:
    """A page of all runs that have results."""
    folder = _local(runs)
    found: dict[str, Results] = {}
    unreadable: dict[str, str] = {}
    for path in sorted(folder.glob(f"*/{RESULTS}")):
        try:
            found[path.parent.name] = read_results(str(path.parent), folder)
        except InputError as error:
            unreadable[path.parent.name] = str(error)
    check_writable(folder)
    (folder / INDEX).write_text(render_page(index_page(found, unreadable)), encoding="utf-8")
    say(out, f"page of {len(found)} runs: {folder / INDEX}")
    return folder / INDEX


def _local(runs: str) -> Path:
    if is_url(runs):
        raise InputError(f"--runs: pages are written to a folder, and {runs} is a URL; copy the runs here first")
    return Path(runs)


def open_page(out: Console, page: Path) -> None:
    """In the user's browser, where there is one."""
    if not webbrowser.open(page.resolve().as_uri()):
        say(out, "no browser could be started here; the page opens in any")
