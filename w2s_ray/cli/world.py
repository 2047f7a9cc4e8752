"""`w2s world`: what the shipped models know, and making them again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import closest
from w2s_ray.engine.context import Context
from w2s_ray.engine.events import Sink
from w2s_ray.engine.store import open_store
from w2s_ray.world.examine import PROBED
from w2s_ray.world.ladder import LADDER, RECORD, as_record, copy_rung, read_record, submit_pretrain

# How far an examination may move between machines, whose last digits differ, before it is another model. Measured: see
# docs/world.md.
TOLERANCE = 0.05


def print_ladder(out: Console) -> None:
    """The record of what is shipped."""
    out.print(_table(read_record()))


def build(out: Console, url: str, names: list[str], folder: Path, executor: Callable[[], Any], sink: Sink) -> bool:
    """Make rungs again into `folder`, show them, and say whether they are what is shipped."""
    for name in names:
        if name not in LADDER:
            raise ConfigError(
                f"{name!r} is not a rung of the ladder{closest(name, LADDER)}; there are: {', '.join(LADDER)}"
            )
    with Context(open_store(url), executor, sinks=[sink]) as context:
        handles = [(name, submit_pretrain(context, LADDER[name])) for name in names or LADDER]
        made = as_record(handles)
        for name, handle in handles:
            copy_rung(handle, folder / name)
    shipped = read_record()
    (folder / RECORD).write_text(json.dumps(read_record(folder) | made, indent=1) + "\n", encoding="utf-8")
    out.print(_table(made))
    verdicts = {name: compare(record, shipped.get(name)) for name, record in made.items()}
    for name, verdict in verdicts.items():
        out.print(f"{name}: {verdict}")
    return not any(verdict.startswith("differs") for verdict in verdicts.values())


def compare(made: dict[str, Any], known: dict[str, Any] | None) -> str:
    """`the same bytes`, `agrees …` or `differs …`."""
    if known is None or made["recipe"] != known["recipe"] or made["corpus"] != known["corpus"]:
        return "differs: the shipped model was made by another recipe"
    if made["digest"] == known["digest"]:
        return "the same bytes as shipped"
    ours, theirs = _flat(made["examination"]), _flat(known["examination"])
    if ours.keys() != theirs.keys():
        return "differs: the shipped model was examined otherwise"
    worst = max(ours, key=lambda name: abs(ours[name] - theirs[name]))
    moved = abs(ours[worst] - theirs[worst])
    return (
        f"{'agrees with' if moved <= TOLERANCE else 'differs from'} what is shipped; at most {moved:.3f} apart"
        f" ({worst})"
    )


def _flat(examination: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in examination.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": float(value)}
    return flat


def _table(record: dict[str, Any]) -> Table:
    """Probes are of the frozen last state: the share of test rows with hard words alone that they get right."""
    caption = "probed: hard-only rows that a linear probe gets right; words, qa: see docs/world.md"
    table = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    table.add_column("model", no_wrap=True)
    for heading in ("weights", "steps", "nats", "words", *PROBED, "qa"):
        table.add_column(heading, justify="right")
    for name, rung in record.items():
        seen = rung["examination"]
        shares = (seen["words_sorted"], *(seen["probes"][task]["hard"] for task in PROBED), seen["qa"]["chosen"])
        table.add_row(
            f"world/{name}",
            f"{seen['parameters']:,}",
            str(rung["recipe"]["steps"]),
            f"{seen['nats_per_token']:.2f}",
            *(f"{share:.2f}" for share in shares),
        )
    return table
