"""The page's section on costs: time of devices by method and role, what was idle, what was lost and why."""

from __future__ import annotations

from w2s_ray.reports.document import Notes, Paragraph, Part, Section, Table
from w2s_ray.reports.schema import Costs, Results
from w2s_ray.reports.wording import NOTHING, duration, percent

SHOWN = 10  # losses one by one


def costs_section(results: Results) -> Section | None:
    """Nothing for results without them: of an older version, or of a run without a scored cell."""
    costs = results.costs
    if costs is None or not costs.rows:
        return None
    devices = [device for device in ("CPU", "GPU") if device == "CPU" or getattr(costs.total, device)]
    rows = tuple(
        (row.method, row.role, str(round(row.steps)), *(duration(getattr(row, device)) for device in devices))
        for row in costs.rows
    )
    table = Table(("method", "role", "steps", *(f"{device} time" for device in devices)), rows, 2)
    total = " and ".join(f"{duration(getattr(costs.total, device))} of {device}s" for device in devices)
    words = f"Made once, for whichever run: {total} in all. Methods share steps, so the rows add up to more."
    return Section("What it cost", (table, Paragraph(words), *_of_drivers(costs, devices), *_losses(costs)))


def _of_drivers(costs: Costs, devices: list[str]) -> list[Part]:
    there = [device for device in devices if getattr(costs.there, device)]
    if not there:
        return []
    words = [
        f"{device}s: {duration(getattr(costs.there, device))} there,"
        f" {percent(min(1.0, getattr(costs.busy, device) / getattr(costs.there, device)))} of it at work,"
        f" {duration(getattr(costs.lost, device))} of that lost"
        for device in there
    ]
    one = "the driver" if costs.drivers == 1 else f"the {costs.drivers} drivers"
    each = "" if costs.drivers == 1 else " Each counts the whole cluster, also where two worked at once."
    return [Paragraph(f"Devices of {one} that worked on this study, while they did. {'; '.join(words)}.{each}")]


def _losses(costs: Costs) -> list[Part]:
    killed = [
        f"a driver that began {driver.began} ended without a word; under way: {', '.join(driver.running) or NOTHING}"
        for driver in costs.killed_drivers
    ]
    rows = tuple((row.cause, str(row.times), duration(row.seconds)) for row in costs.causes)
    if costs.more_losses:
        rows += (("more, not listed", str(costs.more_losses), NOTHING),)
    parts: list[Part] = [Notes(tuple(killed))] if killed else []
    if not rows:
        return parts
    last = tuple(
        f"{loss.at} `{loss.key}`: {loss.cause}, after {duration(loss.seconds)}: {loss.detail[:120]}"
        for loss in costs.losses[-SHOWN:]
    )
    caption = (
        "What ended without a result, and ran again or not. Fits go on from their last checkpoints, so of their time"
        " less was lost."
    )
    return [*parts, Table(("cause", "times", "process time"), rows, 1), Paragraph(caption), Notes(last)]
