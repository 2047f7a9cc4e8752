"""`Frozen`: the base of every config and every plug-in."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from w2s_ray.core.identity import RESTORING, as_recorded


class Frozen(BaseModel):
    """Immutable, no unknown keys, no NaN or infinity: what may enter a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_key(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse an unknown key, with a list of the known ones. `extra` alone refuses it without that list, which for a
        plug-in only its own class has."""
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_key", "{key} is not a known key", {"key": str(key), "known": list(cls.model_fields)}
                )
        return as_recorded(cls, value) if info.context == RESTORING else value
