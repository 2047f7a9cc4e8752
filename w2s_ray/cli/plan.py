"""`w2s plan`: the steps of a study that would run, what is foreseen of them, and what each fit needs where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from w2s_ray.backends.devices.memory import Way, host_bytes, in_words, settle, ways
from w2s_ray.cli.foreseen import print_foreseen
from w2s_ray.cli.say import say
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Role
from w2s_ray.core.errors import ResourceError
from w2s_ray.core.resources import GB, Resources
from w2s_ray.ops.shapes import shape_of_name
from w2s_ray.study.check import placements
from w2s_ray.study.plan import Plan, product

LONGEST = 512  # tokens of the longest row, where it is not known
UNKNOWN_GB = 80.0  # of a GPU that nobody has described


def print_plan(console: Console, plan: Plan, *, show_keys: bool) -> None:
    """The cells, the steps by kind, the placements."""
    config = plan.study.config
    console.print(
        Text.assemble((config.name, "bold"), f": {len(plan.study.cells)} cells = {product(plan.study)}"),
        soft_wrap=True,
    )
    if plan.no_rows:
        say(console, f"the rows are not at hand, so the steps cannot be counted: {plan.no_rows}")
    else:
        table = Table("step", "to run", "in the store", box=None, pad_edge=False)
        for step in sorted({*plan.to_run, *plan.reused}):
            table.add_row(step, str(plan.to_run[step]), str(plan.reused[step]))
        say(console, table)
        if plan.cut_short:
            say(
                console,
                f"at least: {plan.cut_short} cells decide what comes next by results that are not there yet",
            )
    print_foreseen(console, plan.foreseen)
    roles: dict[tuple[str, Recipe, Resources], list[Role]] = {}
    for role, model, recipe, resources in placements(plan.study):
        roles.setdefault((model, recipe, resources), []).append(role)
    for (model, recipe, resources), of_roles in roles.items():
        longest = max((one.longest for one in plan.foreseen.lengths if one.model == model), default=LONGEST)
        _print_placement(console, " and ".join(of_roles), model, recipe, resources, plan.study.base, longest)
    for problem in plan.foreseen.problems:
        console.print(Text.assemble(("would fail ", "red"), problem), soft_wrap=True)
    if show_keys:
        for key in plan.keys:
            say(console, key)


def _print_placement(
    console: Console, roles: str, model: str, recipe: Recipe, resources: Resources, base: Path, longest: int
) -> None:
    """Where a model's fits run; of those that are spread or on GPUs, what each way of running them needs on a device,
    and which one `auto` takes."""
    console.print(
        Text.assemble((f"{roles}: ", "bold"), f"{model} ({recipe.adapt}, {recipe.precision}) on {_devices(resources)}"),
        soft_wrap=True,
    )
    if not (resources.sharded or resources.num_gpus) or recipe.way.solved:
        return
    shape = shape_of_name(model, base)
    if shape is None:
        say(console, "  its shape is not known before it is downloaded, so neither is what it needs")
        return
    gpu = bool(resources.num_gpus)
    given_gb = resources.gpu_gb if gpu else resources.memory_gb or host_bytes() / GB / resources.fewest
    room = given_gb or UNKNOWN_GB
    options = list(ways(shape, recipe, resources, resources.fewest, room * GB, longest, gpu=gpu))
    try:
        chosen = settle(shape, recipe, resources, resources.fewest, room * GB, longest, gpu=gpu)
    except ResourceError as error:
        chosen, refusal = None, str(error)
    count = f"{in_words(shape.parameters)} parameters, {in_words(shape.trained(recipe))} of them trained"
    given = "gpu_gb says" if resources.gpu_gb else "memory_gb says" if resources.memory_gb else ""
    free = (
        f"{options[0].room / GB:.1f} of {room:.1f} GB can be filled, as"
        f" {given or ('is assumed' if gpu else 'this machine has')}"
    )
    say(
        console,
        f"  {count}; on each of {resources.fewest} processes {free}; rows of up to {longest} tokens; GB a device by"
        " what lies there:",
    )
    say(console, _ways_table(options, chosen))
    if chosen is None:
        say(console, f"  refused: {refusal}")


def _ways_table(options: Sequence[Way], chosen: Way | None) -> Table:
    """A row a way of running a fit, with what lies on a device."""
    parts = [part for part in options[0].parts if any(way.parts[part] for way in options)]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("", "ZeRO"):
        table.add_column(heading, no_wrap=True)
    for heading in ("tokens", *parts, "GB", *(["host"] if any(way.host for way in options) else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for way in options:
        mark = "->" if way == chosen else "" if way.fits else "no"
        sizes = [*(way.parts[part] for part in parts), way.total, *([way.host] if way.host else [])]
        stage = ("none" if way.stage is None else str(way.stage)) + " recomputed" * way.recomputed
        table.add_row(mark, stage, f"{way.micro_tokens:,}", *(f"{size / GB:.1f}" for size in sizes))
    return table


def _devices(resources: Resources) -> str:
    each = " and ".join(part for part in (f"{resources.cpus:g} CPU", _gpus(resources)) if part)
    if resources.most == 1:
        return each
    return (
        f"{resources.fewest if resources.fewest == resources.most else f'{resources.fewest} to {resources.most}'}"
        f" processes with {each} each"
    )


def _gpus(resources: Resources) -> str:
    if resources.gpus == "auto":
        return "1 GPU where the cluster has them"
    return f"{resources.num_gpus:g} GPU" if resources.num_gpus else ""
