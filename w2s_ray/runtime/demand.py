"""What `Resources` mean to Ray: the demand of a process, the options of a task, and the nodes that may hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from w2s_ray.core.resources import GB, Resources

if TYPE_CHECKING:
    from ray.tune import PlacementGroupFactory

ACCELERATOR = "accelerator_type:"  # the resource by which Ray names the model of a node's devices
SLICE = 0.001  # of it: all devices of a node share one

Node = Mapping[str, Any]  # as `ray.nodes()` describes it


def of_process(resources: Resources) -> dict[str, float]:
    """What one process takes of a node, by Ray's names."""
    own = {"CPU": resources.cpus, "GPU": resources.num_gpus, "memory": resources.memory_gb * GB, **resources.custom}
    if resources.accelerator:
        own[ACCELERATOR + resources.accelerator] = SLICE
    return own


def demand(resources: Resources, workers: int) -> dict[str, float]:
    """What so many processes take. Where only some nodes may hold them, those nodes are counted by themselves too."""
    whole = {name: amount * workers for name, amount in of_process(resources).items()}
    if (chosen := selector(resources)) is None:
        return whole
    return whole | {f"{name}@{chosen}": whole[name] for name in ("CPU", "GPU", "memory")}


def selector(resources: Resources) -> str | None:
    """A name for the choice of nodes, where there is one."""
    parts = [resources.accelerator, *sorted(resources.custom), *(f"{k}={v}" for k, v in resources.labels.items())]
    return ",".join(filter(None, parts)) or None


def options(resources: Resources) -> dict[str, Any]:
    """The options of a task. A lost one is started again by us, who count what was lost."""
    given: dict[str, Any] = {"num_cpus": resources.cpus, "num_gpus": resources.num_gpus, "max_retries": 0}
    if resources.memory_gb:
        given["memory"] = resources.memory_gb * GB
    if resources.custom:
        given["resources"] = dict(resources.custom)
    if resources.accelerator:
        given["accelerator_type"] = resources.accelerator
    if resources.labels:
        given["label_selector"] = dict(resources.labels)
    return given


def request(bundle: Mapping[str, float], labels: Mapping[str, str]) -> PlacementGroupFactory:
    """What a trial of Ray Tune asks for."""
    from ray.tune import PlacementGroupFactory  # takes a second to import

    held = {name: amount for name, amount in bundle.items() if amount or name == "CPU"}
    more: dict[str, Any] = {"bundle_label_selector": [dict(labels)]} if labels else {}
    return PlacementGroupFactory([held], **more)


def may_hold(node: Node, resources: Resources) -> bool:
    """Whether a living node has the devices and labels that are asked for, whatever their amounts."""
    has = node["Resources"]
    named = [*resources.custom, *([ACCELERATOR + resources.accelerator] if resources.accelerator else [])]
    labels = node.get("Labels") or {}
    return all(name in has for name in named) and all(
        matches(labels.get(name), wanted) for name, wanted in resources.labels.items()
    )


def matches(value: str | None, wanted: str) -> bool:
    """One term of Ray's label selectors: `a`, `!a`, `in(a,b)`, `!in(a,b)`."""
    term = wanted.strip()
    among = term.removeprefix("!")
    listed = among.startswith("in(") and among.endswith(")")
    allowed = [one.strip() for one in among[3:-1].split(",")] if listed else [among]
    return (value in allowed) != term.startswith("!")


def totals(nodes: Iterable[Node], wanted: Iterable[Resources] = ()) -> dict[str, float]:
    """What the nodes have of each device, and those of each choice of nodes by themselves."""
    nodes = list(nodes)
    have = _sum(node["Resources"] for node in nodes)
    for resources in wanted:
        if (chosen := selector(resources)) is not None:
            own = _sum(node["Resources"] for node in nodes if may_hold(node, resources))
            have |= {f"{name}@{chosen}": own.get(name, 0.0) for name in ("CPU", "GPU", "memory")}
    return {"CPU": 0.0, "GPU": 0.0, "memory": 0.0} | have


def _sum(amounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0.0) + amount
    return total


def largest(nodes: Iterable[Node], resources: Resources) -> dict[str, float]:
    """The most that one of the nodes that may hold them has of each device."""
    most: dict[str, float] = {}
    for node in nodes:
        if may_hold(node, resources):
            most |= {name: max(amount, most.get(name, 0.0)) for name, amount in node["Resources"].items()}
    return most


def room(resources: Resources, have: Mapping[str, float]) -> int:
    """How many processes so many devices have room for."""
    each = demand(resources, 1).items()
    return min((int(have.get(name, 0.0) / amount + 1e-9) for name, amount in each if amount), default=resources.most)


def shown(amount: float, name: str) -> str:
    """An amount for people."""
    if name.startswith(ACCELERATOR):
        return f"a node with {name.removeprefix(ACCELERATOR)}"
    device, _, chosen = name.partition("@")
    where = f" on nodes with {chosen}" if chosen else ""
    return f"{amount / GB:.1f} GB of memory{where}" if device == "memory" else f"{amount:g} {device}{where}"


def lacking(resources: Resources, nodes: Iterable[Node]) -> list[str]:
    """What the cluster can never give these processes, for people; empty where it can."""
    nodes = list(nodes)
    if not any(may_hold(node, resources) for node in nodes):
        return [f"nodes with {selector(resources)} (there are none)"]
    one, least, most = of_process(resources), demand(resources, resources.fewest), largest(nodes, resources)
    have = totals(nodes, [resources])
    too_large = {name for name, amount in one.items() if amount > most.get(name, 0.0)}
    found = [
        f"{shown(one[name], name)} (the largest node has {shown(most.get(name, 0.0), name)})"
        for name in one
        if name in too_large
    ]
    return found + [
        f"{resources.fewest} workers with {shown(amount / resources.fewest, name)} each, {shown(amount, name)} in all"
        f" (the cluster has {shown(have.get(name, 0.0), name)})"
        for name, amount in least.items()
        if amount > have.get(name, 0.0) and name.partition("@")[0] not in too_large
    ]
