"""`Frozen`: the base of every config and every plug-in."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Frozen(BaseModel):
    """Immutable, no unknown keys, no NaN or infinity: what may enter a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_key(cls, value: Any) -> Any:
        """`extra` refuses unknown keys too, but does not say which ones there are; for a plug-in nobody else knows."""
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                raise PydanticCustomError(
                    "unknown_key", "{key} is not a known key", {"key": str(key), "known": list(cls.model_fields)}
                )
        return value
