"""Which fields of a config are part of an identity, declared once: on the field.

A field counts for every use, unless it names its uses: `lr: Annotated[float, Counts(LABELS)] = 1e-4` counts for a fit
to labels and for nothing else. A field that was added later declares `before`, the value with which all earlier results
were made. Where it has that value it is left out of the identity, so that earlier results keep their keys; and they are
restored with that value, whatever the default has become. So a default may change without changing the meaning of a
recorded result.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

ALWAYS: Any = object()  # a field that is never left out
RESTORING = {"restoring": True}  # pydantic's context while a recorded config is read


class Counts:
    """Metadata of a field: the uses for which it is part of an identity (all of them, if none is named), and `before`,
    its value in results that are older than the field."""

    def __init__(self, *uses: str, before: Any = ALWAYS) -> None:
        self.uses, self.before = frozenset(uses), before

    def for_any(self, uses: frozenset[str]) -> bool:
        """Whether the field counts for one of these uses."""
        return not self.uses or bool(self.uses & uses)


NEVER = Counts("nothing")


@cache
def marks(kind: type[BaseModel]) -> Mapping[str, Counts]:
    """The `Counts` of every field; a field without one counts for every use."""
    said = {
        name: [one for one in field.metadata if isinstance(one, Counts)] for name, field in kind.model_fields.items()
    }
    return {name: one[0] if one else Counts() for name, one in said.items()}


@cache
def _counting(kind: type[BaseModel], uses: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name, mark in marks(kind).items() if mark.for_any(uses))


def identity(config: BaseModel, *uses: str) -> dict[str, Any]:
    """The fields that count for any of these uses, in plain JSON types. Nested configs count whole."""
    counting = _counting(type(config), frozenset(uses))
    return _plain(config, config.model_dump(mode="json", include=set(counting)))


def _plain(config: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """`dumped` without the fields that equal their `before`. It may lack fields already, which the config's own
    serializer left out."""
    known = marks(type(config))
    plain = {name: _inner(getattr(config, name), dumped[name]) for name in known if name in dumped}
    return {name: value for name, value in plain.items() if not _as_before(known[name], value)}


def _inner(value: Any, dumped: Any) -> Any:
    if isinstance(dumped, (str, int, float, NoneType)):
        return dumped  # a plain value: nothing is nested in it
    if isinstance(value, BaseModel):
        return _plain(value, dumped)
    if isinstance(value, Mapping):
        return {name: _inner(value[name], inner) for name, inner in dumped.items()}
    if isinstance(value, (list, tuple)):
        return [_inner(one, inner) for one, inner in zip(value, dumped, strict=True)]
    return dumped


def _as_before(mark: Counts, value: Any) -> bool:
    before = mark.before
    if before is ALWAYS:
        return False
    return bool(value == (identity(before) if isinstance(before, BaseModel) else before))


def restore(kind: type[M], recorded: Mapping[str, Any]) -> M:
    """The config whose `identity` recorded these fields. Fields that did not count get their present defaults."""
    return kind.model_validate(dict(recorded), context=RESTORING)


def as_recorded(kind: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """`value`, completed with the `before` of each field that is missing because it was left out of the identity."""
    left_out = {name: mark.before for name, mark in marks(kind).items() if name not in value}
    return {name: before for name, before in left_out.items() if before is not ALWAYS} | value
