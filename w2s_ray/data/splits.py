"""Who sees which row: the labelled half, its held-out slice, the pool, its held-out slice, and the test rows.

The train rows are cut into these; what has rows of its own (`apart`: the pool, the test rows, or both) is left out of
the cut. A row's place is a hash of its group or content under the task's seed, so it depends on no other row: adding
rows moves none. Where a split holds more rows than were asked for, those of lowest hash stay. No gold label has a say,
except in `balance`, which is a convention of the field and asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil, sqrt

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import DataError
from w2s_ray.core.seeds import unit_hash
from w2s_ray.data.rows import Row

Splits = dict[str, list[Row]]


def drop_duplicates(rows: Iterable[Row]) -> tuple[list[Row], int, int]:
    """One row for each content; how many were dropped; how many contents had more than one label.

    Which row stays depends on the rows alone, not on their order; on the label only between rows that differ in nothing
    else.
    """
    alike: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        alike[row.content].append(row)
    kept = [
        min(same, key=lambda row: (row.id, row.unit, row.inputs, row.source, row.slice, row.label))
        for same in alike.values()
    ]
    conflicts = sum(len({row.label for row in same}) > 1 for same in alike.values() if len(same) > 1)
    return kept, sum(map(len, alike.values())) - len(kept), conflicts


def drop_overlap(
    name: str, rows: Sequence[Row], others: Mapping[str, Sequence[Row]], mode: str, *, groups: bool
) -> list[Row]:
    """The rows whose content (with `groups`, whose group) is not among the others, which stay. `name` and the names of
    the others are for the refusal."""
    content = {row.content for other in others.values() for row in other}
    units = {row.unit for other in others.values() for row in other} if groups else set()
    clean = [row for row in rows if row.content not in content and row.unit not in units]
    if len(clean) < len(rows) and mode == "refuse":
        first = next(row for row in rows if row.content in content or row.unit in units)
        shared = " or share a group with one" if groups else ""
        raise DataError(
            f"{len(rows) - len(clean)} {name} rows are also among the {' or '.join(others)} rows{shared}, the first is"
            f" row {first.number} (id {first.id!r}); take them out, or set task.overlap: drop"
        )
    return clean


def check_ids(rows: Iterable[Row]) -> None:
    """Ids are unique over all splits, because labels are joined by them."""
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(row.id, row)
        if first is not row:
            raise DataError(
                f"id {row.id!r} stands at two different rows ({first.number} and {row.number}, in the train, pool or"
                " test rows); ids must be unique: mend them, or leave 'id' out of task.columns"
            )


def shares_of(spec: TaskSpec, apart: Collection[str]) -> dict[str, float]:
    """The share of the train rows that each split gets. Those with rows of their own get none, and the others share
    all."""
    cut = {
        name: share for name, share in zip(("labelled", "pool", "test"), spec.shares, strict=True) if name not in apart
    }
    whole = sum(cut.values()) if apart else 1.0
    labelled = cut.pop("labelled")
    halves = {"labelled": labelled * (1 - spec.heldout) / whole, "heldout": labelled * spec.heldout / whole}
    return halves | {name: share / whole for name, share in cut.items()}


def hold_out(rows: Iterable[Row], spec: TaskSpec) -> Splits:
    """The pool's rows in two, by a hash of their own."""
    if not spec.pool_heldout:
        return {"pool": list(rows)}
    splits: Splits = {"pool": [], "pool_heldout": []}
    for row in rows:
        splits["pool_heldout" if unit_hash(spec.seed, "pool_heldout", row.unit) < spec.pool_heldout else "pool"].append(
            row
        )
    return splits


def caps_of(spec: TaskSpec) -> dict[str, int | None]:
    """How many rows each split may have. A held-out slice comes out of its half: 2000 with .1 held out are 1800 and
    200."""
    labelled, heldout = _cut(spec.labelled, spec.heldout)
    pool, pool_heldout = _cut(spec.pool, spec.pool_heldout)
    caps = {"labelled": labelled, "heldout": heldout, "pool": pool, "pool_heldout": pool_heldout, "test": spec.test}
    absent = [name for name, share in (("heldout", spec.heldout), ("pool_heldout", spec.pool_heldout)) if not share]
    return {name: cap for name, cap in caps.items() if name not in absent}


def _cut(size: int | None, share: float) -> tuple[int | None, int | None]:
    if size is None:
        return None, None
    heldout = max(1, round(size * share)) if share else 0
    return size - heldout, heldout


def assign(rows: Iterable[Row], spec: TaskSpec, apart: Collection[str]) -> Splits:
    """Each train row to its split. A held-out row is one of the labelled half by a second hash, so that its share moves
    no row across the halves."""
    shares = shares_of(spec, apart)
    half = shares["labelled"] + shares["heldout"]
    others = [name for name in ("pool", "test") if name in shares]
    splits: Splits = {name: [] for name in shares}
    for row in rows:
        place = unit_hash(spec.seed, "split", row.unit)
        if place < half or not others:
            name = "heldout" if unit_hash(spec.seed, "heldout", row.unit) < spec.heldout else "labelled"
        else:
            name = others[0] if place < half + shares[others[0]] else others[-1]
        splits[name].append(row)
    return splits


def trim(rows: Iterable[Row], cap: int | None, spec: TaskSpec, classes: Sequence[str]) -> list[Row]:
    """The rows of lowest hash, at most `cap`; with `balance` as many of each class."""
    ordered = sorted(rows, key=lambda row: (unit_hash(spec.seed, "order", row.content), row.content))
    if not spec.balance:
        return ordered[:cap]
    counts = Counter(row.label for row in ordered)
    each = min(counts[name] for name in classes)
    each = each if cap is None else min(each, cap // len(classes))
    taken: Counter[str] = Counter()
    kept = []
    for row in ordered:
        if taken[row.label] < each:
            taken[row.label] += 1
            kept.append(row)
    return kept


def rows_needed(spec: TaskSpec, apart: Collection[str], *, num_classes: int = 2) -> int:
    """How many generated train rows fill every cap: a split's size is binomial, and six standard deviations are kept in
    reserve."""
    parts = num_classes if spec.balance else 1
    shares, caps = shares_of(spec, apart), caps_of(spec)
    if "pool" in shares:
        shares |= {"pool": shares["pool"] * (1 - spec.pool_heldout), "pool_heldout": shares["pool"] * spec.pool_heldout}
    needs = [
        _mean_for(-(-cap // parts)) * parts / shares[name] for name, cap in caps.items() if cap and shares.get(name)
    ]
    return ceil(max(needs, default=10_000))


def _mean_for(cap: int) -> float:
    """The mean m of a count whose m - 6 sqrt(m) is the cap (sqrt(m) bounds a binomial's standard deviation)."""
    return (3 + sqrt(9 + cap)) ** 2


def check_splits(splits: Mapping[str, Sequence[Row]], spec: TaskSpec) -> None:
    """No split is empty; the labelled half and the test rows have two classes or more."""
    for name, rows in splits.items():
        if not rows:
            raise DataError(f"the {name} split is empty{_why_empty(name, spec)}")
        if name in ("labelled", "test") and len({row.label for row in rows}) < 2:
            raise DataError(
                f"one-class split: all {len(rows)} rows of the {name} split have the label {rows[0].label!r}; "
                f"give more rows, another task.seed, or other rows{' with task.test_data' if name == 'test' else ''}"
            )


def _why_empty(name: str, spec: TaskSpec) -> str:
    if spec.balance:
        return (
            ", because task.balance leaves as many rows as the rarest class has there; give more rows, or set balance:"
            " false"
        )
    other_shares = f"set other task.shares (they are {list(spec.shares)})"
    remedies = {
        "heldout": f"set task.heldout: 0 (it is {spec.heldout})",
        "pool_heldout": f"set task.pool_heldout: 0 (it is {spec.pool_heldout})",
        "pool": (
            other_shares
            if spec.pool_data is None
            else "name rows with task.pool_data that are not among the train and test rows"
        ),
        "test": f"name test rows with task.test_data, or raise the third of task.shares ({list(spec.shares)})",
    }
    return f"; give more rows, or {remedies.get(name, other_shares)}"
