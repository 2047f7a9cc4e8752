"""Which fields of a config are part of an identity, said once: on the field.

A field counts for everything, unless it says for what: `lr: Annotated[float, Counts(LABELS)] = 1e-4` counts for a fit
to labels and for nothing else. A field that was added after results were made says which value they were made with
(`before`): where it has that value it is left out, so that they keep their keys, and it is restored as that value,
whatever its default has become. So a default may change without a result coming back under another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def counts(model: type[BaseModel], name: str) -> Counts:
    """What a field says of itself."""
    return next((mark for mark in model.model_fields[name].metadata if isinstance(mark, Counts)), Counts())


def identity(config: BaseModel, *uses: str) -> dict[str, Any]:
    """The fields that count for any of these uses, in plain JSON types. The configs inside of it count whole."""
    counting = {name for name in type(config).model_fields if counts(type(config), name).for_any(frozenset(uses))}
    return _plain(config, config.model_dump(mode="json", include=counting))


def _plain(config: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """`dumped`, as it may be without fields that the config leaves out of its own accord, without what is left out
    because all that was made before the field came was made with it."""
    plain = {name: _inner(getattr(config, name), dumped[name]) for name in type(config).model_fields if name in dumped}
    return {name: value for name, value in plain.items() if not _as_before(type(config), name, value)}


def _inner(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value, dumped)
    if isinstance(value, Mapping):
        return {name: _inner(value[name], inner) for name, inner in dumped.items()}
    if isinstance(value, (list, tuple)):
        return [_inner(one, inner) for one, inner in zip(value, dumped, strict=True)]
    return dumped


def _as_before(kind: type[BaseModel], name: str, value: Any) -> bool:
    before = counts(kind, name).before
    if before is ALWAYS:
        return False
    return bool(value == (identity(before) if isinstance(before, BaseModel) else before))


def restore(kind: type[M], recorded: Mapping[str, Any]) -> M:
    """The config of which `identity` recorded these fields. What had not counted is as it is by default."""
    return kind.model_validate(dict(recorded), context=RESTORING)


def as_recorded(kind: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """With the values that were left out because nothing was made with another one."""
    marks = {name: counts(kind, name).before for name in kind.model_fields if name not in value}
    return {name: before for name, before in marks.items() if before is not ALWAYS} | value
