"""`w2s why`: the field-level difference between a key's identity and that of the nearest recorded sibling."""

from __future__ import annotations

import json
from pathlib import Path

from w2s_ray.core.errors import IdentityError, InputError
from w2s_ray.engine.difference import SHOWN, Fields, difference, flat, identity_of, shown, why_inputs
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Record
from w2s_ray.engine.store import Store, open_store


def explain(key: str, store_url: str, runs: Path) -> str:
    """A few lines for people."""
    store = open_store(store_url)
    target, identity, there = _find(key, store, runs)
    others = [store.record(other) for other in store.finished(target.step) if other != target]
    siblings = [record for record in others if record is not None]
    head = f"{target} is {'recorded' if there else 'not recorded'} in {store.url}."
    if not siblings:
        return f"{head}\nNo other {target.step} is recorded there: there was nothing to reuse."
    return "\n".join([head, *_against_the_nearest(store, target, identity, siblings)])


def _against_the_nearest(store: Store, target: Key, identity: Fields, siblings: list[Record]) -> list[str]:
    distances = [(record, difference(identity_of(record), identity)) for record in siblings]
    nearest, fields = min(distances, key=lambda pair: len(pair[1]))
    of = f"The nearest of {len(siblings)} other {target.step} steps is {Key.parse(nearest.key)}"
    lines = [f"{of}, made {nearest.made_at}; it differs in:"]
    lines += [f"  {name}: {shown(a)} there, {shown(b)} here" for name, (a, b) in list(fields.items())[:SHOWN]]
    lines += [f"  … and {len(fields) - SHOWN} more fields"] if len(fields) > SHOWN else []
    for name, field, a, b in why_inputs(store, fields):
        lines.append(f"    {name}: its {field} is {shown(a)} there, {shown(b)} here")
    return lines


def _find(text: str, store: Store, runs: Path) -> tuple[Key, Fields, bool]:
    """The one key that the text means, among the store's and the planned ones."""
    known: dict[str, tuple[Key, Fields, bool]] = {}
    for path in sorted(runs.glob("*/plan.json")):
        try:
            for full, plan in json.loads(path.read_text(encoding="utf-8")).items():
                named = {part: plan[part] for part in ("params", "inputs", "version")}
                known[full] = (Key.parse(full), flat(named), False)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError, IdentityError) as error:
            raise InputError(
                f"{path} is not what `w2s plan` wrote ({type(error).__name__}); remove it, or run `w2s plan` again"
            ) from None
    for key in store.finished():
        record = store.record(key)
        if record is not None:
            known[key.full] = (key, identity_of(record), True)
    matches = [entry for full, entry in known.items() if text in full or text in str(entry[0])]
    if len(matches) != 1:
        what = "no step" if not matches else f"{len(matches)} steps, such as {matches[0][0]} and {matches[1][0]},"
        raise InputError(
            f"{what} match {text!r} in the store and in runs/*/plan.json; `w2s plan FILE --keys` prints the keys of a"
            " study"
        )
    return matches[0]
