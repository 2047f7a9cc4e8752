"""What `w2s plan` prints of rows, their lengths and the time: tables for people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from w2s_ray.backends.devices.memory import num_gpus
from w2s_ray.cli.say import say
from w2s_ray.study.forecast import Forecast
from w2s_ray.study.foresee import Foreseen
from w2s_ray.study.lengths import Lengths

TASKS = 6  # of a grid, that get a table each
CLASSES = 8  # of a split, that are counted by name
HOUR_S, MINUTE_S = 3600.0, 60.0


def print_foreseen(console: Console, foreseen: Foreseen) -> None:
    """Rows, lengths, time."""
    for task, facts in list(foreseen.rows.items())[:TASKS]:
        say(console, _rows(task, facts))
    if len(foreseen.rows) > TASKS:
        say(console, f"… and {len(foreseen.rows) - TASKS} more tasks")
    for line in _length_lines(foreseen.lengths):
        say(console, line)
    if foreseen.forecast is not None and (line := time_line(foreseen.forecast)):
        say(console, line)


def _rows(task: str, facts: Mapping[str, Any]) -> Table:
    """A row a split: fewer rows than were asked for, and texts that are cut, where there are such."""
    short, cut = facts["short"], facts.get("truncated", {})
    headings = [task, "rows", *(["asked for"] if short else []), *(["cut"] if any(cut.values()) else []), "classes"]
    table = Table(*headings, box=None, pad_edge=False)
    for split, rows in facts["sizes"].items():
        asked = [str(short[split]["asked"]) if split in short else ""] if short else []
        shorter = [str(cut[split])] if any(cut.values()) else []
        table.add_row(split, str(rows), *asked, *shorter, _classes(facts["class_shares"][split], rows))
    return table


def _classes(shares: Mapping[str, float], rows: int) -> str:
    """The rows of each class."""
    counts = [f"{name} {round(share * rows)}" for name, share in list(shares.items())[:CLASSES]]
    return ", ".join(counts) + (" …" if len(shares) > CLASSES else "")


def _length_lines(lengths: tuple[Lengths, ...]) -> list[str]:
    """A line a model: its longest row, its limit, and how many rows of each split are longer."""
    of_model: dict[str, list[Lengths]] = {}
    for one in lengths:
        of_model.setdefault(one.model, []).append(one)
    lines = []
    for model, found in of_model.items():
        limits = [one.limit for one in found if one.limit is not None]
        reads = f"of the {min(limits)} that it reads" if limits else "and it reads rows of any length"
        over = ", ".join(f"{one.too_long} of {one.data} {one.split}" for one in found if one.too_long)
        more = f"; longer: {over}" if over else ""
        lines.append(f"{model}: the longest row has {max(one.longest for one in found)} tokens {reads}{more}")
    return lines


def time_line(found: Forecast) -> str:
    """What the steps may take; nothing where the store has no like ones."""
    if not found.known:
        return ""
    work = " and ".join(f"{_amount(seconds, f'{device}-')}" for device, seconds in sorted(found.seconds.items()))
    what = "all" if found.known == found.steps else f"{found.known} of the"
    return (
        f"estimated: {work} for {what} {found.steps} fits and readings, by {found.records} like ones in this store,"
        f" scaled by rows x epochs{_at_best(found)}"
    )


def _amount(seconds: float, what: str = "") -> str:
    return f"{seconds / HOUR_S:.2g} {what}hours" if seconds >= HOUR_S else f"{seconds / MINUTE_S:.2g} {what}minutes"


def _at_best(found: Forecast) -> str:
    """With all of this machine's devices busy."""
    have = {"CPU": float(os.cpu_count() or 1), "GPU": float(num_gpus()) if found.seconds.get("GPU") else 0.0}
    if any(not have[device] for device in found.seconds):
        return ""
    least = max(seconds / have[device] for device, seconds in found.seconds.items())
    return f"; {_amount(least)} if this machine's {' and '.join(sorted(found.seconds))}s are all busy with them"
