"""How two identities differ: the fields of their steps' parameters, inputs and version that are not the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from w2s_ray.core.errors import IdentityError
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store

SHOWN = 20  # differing fields

Fields = dict[str, Any]  # dotted name -> value


def identity_of(record: Record) -> Fields:
    """The identity that a record holds, by field."""
    return flat({"params": record.params, "inputs": record.inputs, "version": record.version})


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields that are not the same; None where one side does not have one."""
    names = dict.fromkeys([*there, *here])
    return {name: (there.get(name), here.get(name)) for name in names if there.get(name) != here.get(name)}


def why_inputs(store: Store, fields: Mapping[str, tuple[Any, Any]]) -> Iterator[tuple[str, str, Any, Any]]:
    """One level deeper: for each input that differs, the fields in which its own identity differs."""
    for name, (there, here) in fields.items():
        if not name.startswith("inputs.") or not isinstance(there, str) or not isinstance(here, str):
            continue
        records = [store.record(Key.parse(key)) for key in (there, here)]
        if records[0] is not None and records[1] is not None:
            inner = difference(identity_of(records[0]), identity_of(records[1]))
            yield from ((name, field, *values) for field, values in list(inner.items())[:SHOWN])


def flat(value: Any, prefix: str = "") -> Fields:
    """Leaves by dotted name."""
    if not isinstance(value, (dict, list)):
        return {prefix: value}
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found: Fields = {}
    for name, inner in inside:
        found |= flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return found


def shown(value: Any) -> str:
    """A value in a sentence; a key in its short form."""
    if value is None:
        return "(absent)"
    try:
        return str(Key.parse(value)) if isinstance(value, str) else repr(value)
    except IdentityError:  # any other text, such as a prompt
        return repr(value)
