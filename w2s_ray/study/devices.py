"""`gpus: auto`: the GPUs of this machine, or those of a cluster, and what that means for a study, in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from w2s_ray.backends.devices.memory import num_gpus
from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.config.schema import Role
from w2s_ray.core.resources import Resources

CLUSTERS = "1 GPU each where the cluster has them, else on CPUs"
ROLES: tuple[Role, ...] = ("weak", "strong")


def on_devices(study: Study, place: Place, tell: Callable[[str], None], *, search: bool = False) -> Study:
    """The study where it runs; says which roles use GPUs that nobody asked for by number. A search must say what a
    trial holds before it sees the cluster."""
    asked: dict[Role, Resources] = {
        role: each for role in ROLES if (each := study.config.resources.of(role, None)).gpus == "auto"
    }
    if not place.here:
        if asked:
            where = "CPUs: a search on a cluster needs a number, such as gpus: 1" if search else CLUSTERS
            tell(f"{' and '.join(asked)} on {where} (gpus: auto)")
        return study
    if not asked:
        return study
    there = num_gpus()
    for line in _lines(asked, there):
        tell(line)
    return replace(study, gpus=there)


def _lines(asked: dict[Role, Resources], there: int) -> Iterator[str]:
    """Nothing, where there is no GPU."""
    on_gpus = [role for role, each in asked.items() if each.settled(there).num_gpus]
    if on_gpus:
        yield f"{' and '.join(on_gpus)} on 1 GPU{' each' if len(on_gpus) > 1 else ''} (gpus: auto)"
    for role in asked if there else ():
        if role not in on_gpus:
            yield (
                f"{role} on CPUs: its {asked[role].fewest} processes would need as many GPUs, and this machine has"
                f" {there} (gpus: auto)"
            )
