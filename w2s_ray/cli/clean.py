"""`w2s clean`: what nobody needs in a store, listed or removed."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console

from w2s_ray.engine.clean import Leftover, find, remove
from w2s_ray.engine.store import open_store

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
        console.print(
            f"{len(found.living)} drivers work on the store ({who}); what attempts left is looked for when none does",
            soft_wrap=True,
        )
    if not found.leftovers:
        console.print(f"nothing to remove in {store.url}", soft_wrap=True)
    elif yes:
        remove(store, found)
        console.print(f"removed {len(found.leftovers)} from {store.url}", soft_wrap=True)
    else:
        console.print("nothing was removed; `w2s clean --yes` does that", soft_wrap=True)


def _print_kind(console: Console, why: str, leftovers: list[Leftover]) -> None:
    console.print(f"{why}: {len(leftovers)}, {sum(one.size for one in leftovers) / MB:.1f} MB", soft_wrap=True)
    for one in leftovers[:SHOWN]:
        console.print(f"  {one.name}", soft_wrap=True)
    if len(leftovers) > SHOWN:
        console.print(f"  … and {len(leftovers) - SHOWN} more")
