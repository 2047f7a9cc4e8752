"""`w2s why`: the field-level difference between a key's identity and that of the nearest recorded sibling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from w2s_ray.core.errors import InputError
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store, open_store

SHOWN = 20  # differing fields


def explain(key: str, store_url: str, runs: Path) -> str:
    """A few lines for people."""
    store = open_store(store_url)
    target, identity, there = _find(key, store, runs)
    siblings = [
        record
        for other in store.finished(target.step)
        if other != target and (record := store.record(other)) is not None
    ]
    head = f"{target} is {'recorded' if there else 'not recorded'} in {store.url}."
    if not siblings:
        return f"{head}\nNo other {target.step} is recorded there: there was nothing to reuse."
    nearest, fields = min(
        ((record, _difference(_identity(record), identity)) for record in siblings), key=lambda pair: len(pair[1])
    )
    lines = [
        head,
        (
            f"The nearest of {len(siblings)} other {target.step} steps is {Key.parse(nearest.key)}, made"
            f" {nearest.made_at}; it differs in:"
        ),
    ]
    lines += [f"  {name}: {_shown(a)} there, {_shown(b)} here" for name, (a, b) in list(fields.items())[:SHOWN]]
    lines += [f"  … and {len(fields) - SHOWN} more fields"] if len(fields) > SHOWN else []
    lines += [line for name in fields if name.startswith("inputs.") for line in _why_input(store, name, *fields[name])]
    if not fields:
        lines.append(f"  the step's version: {nearest.version} there (its meaning or code was changed since)")
    return "\n".join(lines)


def _find(text: str, store: Store, runs: Path) -> tuple[Key, dict[str, Any], bool]:
    """The one key that the text means, among the store's and the planned ones."""
    known: dict[str, tuple[Key, dict[str, Any], bool]] = {}
    for path in sorted(runs.glob("*/plan.json")):
        for full, plan in json.loads(path.read_text(encoding="utf-8")).items():
            known[full] = (Key.parse(full), _flat({"params": plan["params"], "inputs": plan["inputs"]}), False)
    for key in store.finished():
        record = store.record(key)
        if record is not None:
            known[key.full] = (key, _identity(record), True)
    matches = [entry for full, entry in known.items() if text in full or text in str(entry[0])]
    if len(matches) != 1:
        what = "no step" if not matches else f"{len(matches)} steps, such as {matches[0][0]} and {matches[1][0]},"
        raise InputError(
            f"{what} match {text!r} in the store and in runs/*/plan.json; `w2s plan FILE --keys` prints the keys of a"
            " study"
        )
    return matches[0]


def _identity(record: Record) -> dict[str, Any]:
    return _flat({"params": record.params, "inputs": record.inputs, "version": record.version}) | {
        "version": record.version
    }


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*there, *here])
    return {
        n: (there.get(n), here.get(n))
        for n in names
        if there.get(n) != here.get(n) and not (n == "version" and n not in here)
    }


def _why_input(store: Store, name: str, there: Any, here: Any) -> Iterator[str]:
    """One level down: why an input's key differs."""
    if not isinstance(there, str) or not isinstance(here, str):
        return
    records = [store.record(Key.parse(key)) for key in (there, here)]
    if records[0] is None or records[1] is None:
        return
    for field, (a, b) in list(_difference(_identity(records[0]), _identity(records[1])).items())[:SHOWN]:
        yield f"    {name}: its {field} is {_shown(a)} there, {_shown(b)} here"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted name."""
    if isinstance(value, dict):
        return {
            k: v
            for name, inner in value.items()
            for k, v in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in _flat(inner, f"{prefix}.{i}").items()}
    return {prefix: value}


def _shown(value: Any) -> str:
    if isinstance(value, str) and "/" in value and len(value) > 70:
        return str(Key.parse(value))
    return "(absent)" if value is None else repr(value)
