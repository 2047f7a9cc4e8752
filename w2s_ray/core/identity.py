"""Which fields of a config are part of an identity, said once: on the field.

A field counts for everything, unless it says for what: `lr: Annotated[float, Counts(LABELS)] = 1e-4` counts for a fit
to labels and for nothing else. A field that was added after results were made says which value they were made with
(`before`): where it has that value it is left out, so that they keep their keys, and it is restored as that value,
whatever its default has become. So a default may change without a result coming back under another meaning.
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
    """Metadata of a field: the uses for which it is part of an identity; none named: for all."""

    def __init__(self, *uses: str, before: Any = ALWAYS) -> None:
        self.uses, self.before = frozenset(uses), before

    def for_any(self, uses: frozenset[str]) -> bool:
        """Whether the field counts for one of these uses."""
        return not self.uses or bool(self.uses & uses)


NEVER = Counts("nothing")


@cache
def marks(kind: type[BaseModel]) -> Mapping[str, Counts]:
    """What every field says of itself."""
    said = {
        name: [one for one in field.metadata if isinstance(one, Counts)] for name, field in kind.model_fields.items()
    }
    return {name: one[0] if one else Counts() for name, one in said.items()}


@cache
def _counting(kind: type[BaseModel], uses: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name, mark in marks(kind).items() if mark.for_any(uses))


def identity(config: BaseModel, *uses: str) -> dict[str, Any]:
    """The fields that count for any of these uses, in plain JSON types. The configs inside of it count whole."""
    counting = _counting(type(config), frozenset(uses))
    return _plain(config, config.model_dump(mode="json", include=set(counting)))


def _plain(config: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """`dumped`, as it may be without fields that the config leaves out of its own accord, without what is left out
    because all that was made before the field came was made with it."""
    known = marks(type(config))
    plain = {name: _inner(getattr(config, name), dumped[name]) for name in known if name in dumped}
    return {name: value for name, value in plain.items() if not _as_before(known[name], value)}


def _inner(value: Any, dumped: Any) -> Any:
    if isinstance(dumped, (str, int, float, NoneType)):
        return dumped  # there is nothing inside of it
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
    """The config of which `identity` recorded these fields. What had not counted is as it is by default."""
    return kind.model_validate(dict(recorded), context=RESTORING)


def as_recorded(kind: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """With the values that were left out because nothing was made with another one."""
    left_out = {name: mark.before for name, mark in marks(kind).items() if name not in value}
    return {name: before for name, before in left_out.items() if before is not ALWAYS} | value
