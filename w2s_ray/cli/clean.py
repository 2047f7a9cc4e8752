"""`w2s clean`: what nobody needs in a store, listed or removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from w2s_ray.cli.say import say
from w2s_ray.core.errors import InputError
from w2s_ray.engine.clean import Leftover, find, living, remove
from w2s_ray.engine.folders import is_url
from w2s_ray.engine.store import open_store
from w2s_ray.study.needed import by_step, remove_unused, unused

MB = 2**20
SHOWN = 5  # names of a kind


def clean_store(console: Console, store_url: str, *, yes: bool) -> None:
    """A line a kind of leftover, with the first names."""
    store = open_store(store_url)
    found = find(store)
    kinds: dict[str, list[Leftover]] = defaultdict(list)
    for leftover in found.leftovers:
        kinds[leftover.why].append(leftover)
    for why, leftovers in kinds.items():
        _print_kind(console, why, leftovers)
    if found.living:
        who = ", ".join(f"process {holder.pid}" for holder in found.living)
        say(
            console,
            f"{len(found.living)} drivers work on the store ({who}); what attempts left is looked for when none does",
        )
    if not found.leftovers:
        say(console, f"nothing to remove in {store.url}")
    elif yes:
        remove(store, found)
        say(console, f"removed {len(found.leftovers)} from {store.url}")
    else:
        say(console, "nothing was removed; `w2s clean --yes` does that")


def _print_kind(console: Console, why: str, leftovers: list[Leftover]) -> None:
    say(console, f"{why}: {len(leftovers)}, {sum(one.size for one in leftovers) / MB:.1f} MB")
    for one in leftovers[:SHOWN]:
        say(console, f"  {one.name}")
    if len(leftovers) > SHOWN:
        say(console, f"  … and {len(leftovers) - SHOWN} more")


def clean_unused(console: Console, store_url: str, runs: Sequence[str], days: float, *, yes: bool) -> None:
    """A line a step of what no kept study leads to. Never while a driver works on the store: drivers are looked for
    last, so one that has begun since was seen to use what is listed."""
    store = open_store(store_url)
    for place in filter(is_url, runs):
        raise InputError(f"--runs: {place} is a URL; copy its runs to a folder of this machine, and name that")
    found = unused(store, [Path(place) for place in runs], days)
    if drivers := living(store):
        raise InputError(
            f"{len(drivers)} drivers work on {store.url}, whose results no file names yet; try again when they have"
            " ended (`w2s status` shows them)"
        )
    for step, (count, size) in sorted(by_step(found).items()):
        say(console, f"{step}: {count}, {size / MB:.1f} MB")
    total = f"{len(found)} results with {sum(one.size for one in found) / MB:.1f} MB"
    if not found:
        say(console, f"nothing to remove in {store.url}: all that is older than {days:g} days is needed")
    elif yes:
        remove_unused(store, found)
        say(console, f"removed {total} from {store.url}")
    else:
        where = " or ".join(runs)
        say(console, f"{total} in {store.url} are needed by no study below {where}; with --yes they are removed")
