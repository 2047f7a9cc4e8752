"""Secrets: a config may name a variable of the environment in the place of one, and no message repeats its value."""

from __future__ import annotations

import re
from collections.abc import Mapping

from w2s_ray.core.errors import ConfigError

SECRET = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)  # in the name of a variable
SHORTEST_SECRET = 4  # letters: shorter ones would blacken ordinary words
_NAMED = re.compile(r"\$(\w+)|\$\{(\w+)\}")


def variable_of(text: str) -> str | None:
    """The variable that stands for a value: X of `$X` and of `${X}`."""
    found = _NAMED.fullmatch(text)
    return found and (found[1] or found[2])


def revealed(text: str, environ: Mapping[str, str]) -> str:
    """The value that is meant."""
    name = variable_of(text)
    if name is None:
        return text
    if not environ.get(name):
        raise ConfigError(f"${name} is not set here; set it, or leave the key out that names it")
    return environ[name]


def redacted(text: str, environ: Mapping[str, str]) -> str:
    """Without the values of variables that may be secrets."""
    secrets = {value for name, value in environ.items() if SECRET.search(name) and len(value) >= SHORTEST_SECRET}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
