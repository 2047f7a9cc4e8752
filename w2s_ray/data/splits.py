"""Who sees which row: the labelled half, its held-out slice, the pool and the test rows.

A row's place is a hash of its group or content under the task's seed, so it depends on no other row: adding rows moves none. Where a split holds more
rows than were asked for, those of lowest hash stay. No gold label has a say, except in `balance`, which is a convention of the field and asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, sqrt

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import DataError
from w2s_ray.core.seeds import unit_hash
from w2s_ray.data.rows import Row

Splits = dict[str, list[Row]]


def drop_duplicates(rows: Iterable[Row]) -> tuple[list[Row], int, int]:
    """One row for each content; how many were dropped; how many contents had more than one label.

    Which row stays depends on the rows alone, not on their order; on the label only between rows that differ in nothing else.
    """
    alike: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        alike[row.content].append(row)
    kept = [min(same, key=lambda row: (row.id, row.unit, row.inputs, row.label)) for same in alike.values()]
    conflicts = sum(len({row.label for row in same}) > 1 for same in alike.values() if len(same) > 1)
    return kept, sum(map(len, alike.values())) - len(kept), conflicts


def drop_overlap(train: Sequence[Row], test: Sequence[Row], mode: str, *, groups: bool) -> list[Row]:
    """The train rows whose content (with `groups`, whose group) is not among the test rows."""
    content, units = {row.content for row in test}, {row.unit for row in test} if groups else set()
    clean = [row for row in train if row.content not in content and row.unit not in units]
    if len(clean) < len(train) and mode == "refuse":
        first = next(row for row in train if row.content in content or row.unit in units)
        shared = " or share a group with one" if groups else ""
        raise DataError(
            f"{len(train) - len(clean)} train rows are also among the test rows{shared}, the first is row {first.number} (id {first.id!r}); "
            f"take them out, or set task.overlap: drop"
        )
    return clean


def check_ids(rows: Iterable[Row]) -> None:
    """Ids are unique over all splits, because labels are joined by them."""
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(row.id, row)
        if first is not row:
            raise DataError(
                f"id {row.id!r} stands at two different rows ({first.number} and {row.number}, in the train or test rows); ids must be unique: "
                f"mend them, or leave 'id' out of task.columns"
            )


def shares_of(spec: TaskSpec, *, own_test: bool) -> dict[str, float]:
    """The share of the rows that each split gets. With test rows of their own the other two share all the rest."""
    labelled, pool, test = spec.shares
    whole = labelled + pool if own_test else 1.0
    shares = {"labelled": labelled * (1 - spec.heldout) / whole, "heldout": labelled * spec.heldout / whole, "pool": pool / whole}
    return shares if own_test else shares | {"test": test}


def caps_of(spec: TaskSpec) -> dict[str, int | None]:
    """How many rows each split may have. The held-out slice comes out of the labelled half: 2000 with .1 held out are 1800 and 200."""
    heldout = None
    if spec.labelled is not None:
        heldout = max(1, round(spec.labelled * spec.heldout)) if spec.heldout else 0
    labelled = None if spec.labelled is None or heldout is None else spec.labelled - heldout
    return {"labelled": labelled, "heldout": heldout, "pool": spec.pool, "test": spec.test}


def assign(rows: Iterable[Row], spec: TaskSpec, *, own_test: bool) -> Splits:
    """Each row to its split. A held-out row is one of the labelled half by a second hash, so that its share moves no row across the halves."""
    shares = shares_of(spec, own_test=own_test)
    half = shares["labelled"] + shares["heldout"]
    splits: Splits = {name: [] for name in shares}
    for row in rows:
        place = unit_hash(spec.seed, "split", row.unit)
        if place < half:
            name = "heldout" if unit_hash(spec.seed, "heldout", row.unit) < spec.heldout else "labelled"
        else:
            name = "pool" if own_test or place < half + shares["pool"] else "test"
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


def rows_needed(spec: TaskSpec, *, own_test: bool, num_classes: int = 2) -> int:
    """How many generated rows fill every cap: a split's size is binomial, and six standard deviations are kept in reserve."""
    parts = num_classes if spec.balance else 1
    shares, caps = shares_of(spec, own_test=own_test), caps_of(spec)
    needs = [_mean_for(-(-cap // parts)) * parts / shares[name] for name, cap in caps.items() if cap and shares.get(name)]
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
        return ", because task.balance leaves as many rows as the rarest class has there; give more rows, or set balance: false"
    remedies = {
        "heldout": f"set task.heldout: 0 (it is {spec.heldout})",
        "test": f"name test rows with task.test_data, or raise the third of task.shares ({list(spec.shares)})",
    }
    return f"; give more rows, or {remedies.get(name, f'set other task.shares (they are {list(spec.shares)})')}"
