"""`Place`: where a study runs, in a file of its own: a cluster, a store, and what each role asks for. No part of any
identity, so one study may run in many places and its results are shared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from w2s_ray.config.load import checked, read_yaml
from w2s_ray.config.schema import Placements
from w2s_ray.config.track import Track, Webhook
from w2s_ray.core.errors import ConfigError, ResourceError
from w2s_ray.core.frozen import Frozen

JOBS = ("http://", "https://")


class Driver(Frozen):
    """What the process asks for that decides what runs next. It must sit on a machine that stays."""

    cpus: float = Field(0.0, ge=0)
    memory_gb: float = Field(0.0, ge=0)
    custom: dict[str, float] = Field(
        default_factory=dict, description="a cluster's own resources, such as driver: 0.01"
    )


class Place(Frozen):
    """Where a study runs."""

    address: str | None = Field(
        None,
        description="of a Ray cluster: http://HEAD:8265 for `w2s submit`, auto or HEAD:6379 on one of its machines",
    )
    store: str = Field("", description="where results live: s3://…, gs://…, or a path that all machines share")
    runs: str = Field("", description="where runs/NAME/ is written: a folder or a URL")
    env: dict[str, str | None] = Field(
        default_factory=dict, description="variables of the workers; null: this machine's value, so no file holds it"
    )
    autoscale: bool = Field(
        False, description="whether the cluster adds machines, so that what none can hold yet waits for one"
    )
    budget: float = Field(0.0, ge=0, description="device-hours after which a run stops, to be continued; 0: none")
    driver: Driver = Field(default_factory=Driver)
    track: tuple[Track, ...] = Field((), description="trackers, beside those of the study")
    notify: Webhook | None = Field(None, description="a webhook, where the study names none")
    resources: dict[str, Any] = Field(
        default_factory=dict, description="as in a study, field by field above the study's own"
    )

    @field_validator("resources")
    @classmethod
    def _of_roles(cls, value: dict[str, Any]) -> dict[str, Any]:
        Placements.model_validate(value)
        return value

    @property
    def here(self) -> bool:
        """Whether a study runs on this machine, and not on a cluster."""
        return (self.address or os.environ.get("RAY_ADDRESS") or "local") == "local"

    def with_defaults(self) -> Place:
        """With those of this machine, in the folder where it is asked."""
        return self.model_copy(update={"store": self.store or str(Path.cwd() / "store"), "runs": self.runs or "runs"})

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The workers' variables, those without a value from this machine."""
        absent = [name for name, value in self.env.items() if value is None and name not in environ]
        if absent:
            raise ConfigError(f"env.{absent[0]} has no value, and {absent[0]} is not set here; set it, or drop the key")
        return {name: environ[name] if value is None else value for name, value in self.env.items()}


def load_place(
    file: Path | None, env: Sequence[str] = (), *, store: str | None = None, runs: str | None = None,
    address: str | None = None, budget: float | None = None,
) -> Place:  # fmt: skip
    """A place file with what a command line says above it."""
    raw: dict[str, Any] = {} if file is None else read_yaml(file)
    given = {"store": store, "runs": runs, "address": address, "budget": budget}
    variables = dict(_variable(text) for text in env)
    more = {"env": {**(raw.get("env") or {}), **variables}} if variables else {}
    try:
        return checked(Place, {**raw, **{name: value for name, value in given.items() if value}, **more})
    except ConfigError as error:
        raise ConfigError(f"{file or '--env'}: {error}") from None


def _variable(text: str) -> tuple[str, str | None]:
    name, sep, value = text.partition("=")
    if not name.isidentifier():
        raise ConfigError(f"--env {text!r} is not NAME=VALUE, or NAME for this machine's value")
    return name, value if sep else None


def joinable(address: str | None) -> str | None:
    """The address of a Ray that a driver on this machine may join; None starts one."""
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is not None and address.startswith(JOBS):
        raise ResourceError(
            f"the Ray address {address} is that of a cluster's jobs: `w2s submit --address {address}` sends a study"
            " there; `w2s run` on a machine of the cluster takes --address auto or HEAD:6379 (unset RAY_ADDRESS if it"
            " comes from there)"
        )
    if address is not None and address.startswith("ray://"):
        raise ResourceError(
            f"the Ray address {address} is for Ray's client, whose driver ends with this machine; send the study to the"
            " cluster with `w2s submit --address http://HEAD:8265`"
        )
    return address
