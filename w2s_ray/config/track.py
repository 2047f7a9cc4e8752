"""Where a study's runs are told of as well: trackers, and a webhook. No part of any identity, nor of any file that a
run writes: an address may be a secret."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, SecretStr, SerializeAsAny

from w2s_ray.core.plugins import plugin
from w2s_ray.core.secrets import variable_of

Track = Annotated[SerializeAsAny[BaseModel], plugin("w2s_ray.trackers")]
FOLLOWED = ("track", "notify")  # keys of a study that no result and no written file depends on
UNSHOWN = (*FOLLOWED, "env")  # keys, of a study or a place, below which no message repeats a value


def _is_webhook(url: SecretStr) -> SecretStr:
    """Its value is in no message."""
    if not url.get_secret_value().startswith(("http://", "https://")) and variable_of(url.get_secret_value()) is None:
        raise ValueError("it must be https://… or $NAME, of a variable of the environment that holds the address")
    return url


Webhook = Annotated[SecretStr, AfterValidator(_is_webhook)]
