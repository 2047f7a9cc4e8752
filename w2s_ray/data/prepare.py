"""`prepare`: from the `task:` of a study to the rows of its splits, with the gold labels beside them and never in
them."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.plugins import available, closest, find
from w2s_ray.data import splits as split
from w2s_ray.data.formats import Format, class_name
from w2s_ray.data.parts import KEYS, open_parts
from w2s_ray.data.rows import Row, read_rows
from w2s_ray.data.sources import format_named_by

GROUP = "w2s_ray.formats"

# Where parts overlap: which gives way to which.
GIVES_WAY = {"train": ("test",), "pool": ("train", "test")}

# More classes than this, and than half as many as there are rows, are no classes: the label column is a text or an id.
MANY_CLASSES = 20


@dataclass(frozen=True)
class Prepared:
    """Rows by split, and beside them what methods must not see: gold labels by split, and ids by split and slice (where
    the source has slices).

    `facts` is what was found and done on the way, ready for JSON.
    """

    splits: dict[str, Dataset]
    gold: dict[str, LabelSet | Answers]
    slices: dict[str, dict[str, list[str]]]
    facts: dict[str, Any]


def prepare(spec: TaskSpec, base: Path) -> Prepared:
    """Read, check and split the rows of a task. `base` is where relative paths start."""
    fmt = format_of(spec)
    parts = open_parts(spec, fmt, base)
    read = {name: read_rows(part.rows, fmt, part.columns, spec.seed) for name, part in parts.items()}
    rows = {name: found for name, (found, _) in read.items()}
    facts: dict[str, Any] = {
        "identity": {KEYS[name]: part.source.identity for name, part in parts.items()},
        "rows": {"test": 0} | {name: len(found) + skipped for name, (found, skipped) in read.items()},
        "skipped": sum(skipped for _, skipped in read.values()),
    }
    classes = classes_of(spec, fmt, [(parts[name].rows.name, found) for name, found in rows.items()])
    clean, dropped = _clean(rows, spec)
    apart = {name: found for name, found in clean.items() if name != "train"}
    candidates = split.assign(clean["train"], spec, apart) | apart
    candidates |= split.hold_out(candidates["pool"], spec)
    caps = split.caps_of(spec)
    by_split = {name: split.trim(candidates[name], cap, spec, classes) for name, cap in caps.items()}
    split.check_splits(by_split, spec)
    facts |= dropped | _describe(by_split, caps, classes, grouped="group" in parts["train"].columns)
    return _build(by_split, spec, fmt, classes, facts)


def format_name(spec: TaskSpec) -> str:
    """The format that the task names, else the one made for its source, else `text`."""
    return spec.format or _format_named_like(spec.data)


def format_of(spec: TaskSpec) -> Format:
    """That format."""
    built: Format = find(GROUP, format_name(spec))()
    return built


def _format_named_like(data: str) -> str:
    named = format_named_by(data)
    if named is not None or not data.startswith("hub:"):
        return named or "text"
    path = data.removeprefix("hub:").partition("@")[0].lower()
    repo = "/".join(path.split("/")[:2])
    own = repo.split("/")[-1].replace("-", "_")
    made_for = [name for name, fmt in available(GROUP).items() if fmt.hub.lower() in (path, repo) or name == own]
    # Of several formats of one dataset, the one that is called like it.
    return own if own in made_for else next(iter(made_for), "text")


def classes_of(spec: TaskSpec, fmt: Format, parts: Sequence[tuple[str, Sequence[Row]]]) -> tuple[str, ...]:
    """The classes in the order of their index; every row's label is one of them. An answer that is generated has none,
    one that is chosen has its place."""
    if fmt.kind.generated:
        if spec.classes or spec.balance:
            raise ConfigError(
                f"task.{'classes' if spec.classes else 'balance'}: answers that are generated have no classes; leave"
                " it out"
            )
        return ()
    if fmt.kind.placed:
        return _places(parts)
    fixed = tuple(map(class_name, spec.classes)) if spec.classes else None
    if fixed and fmt.classes and fixed != fmt.classes:
        raise ConfigError(
            f"task.classes: {list(fixed)} cannot be set, because the format has the classes {list(fmt.classes)}; leave"
            " task.classes out"
        )
    if fixed and (len(set(fixed)) < len(fixed) or len(fixed) < 2 or "" in fixed):
        raise ConfigError(f"task.classes: {list(fixed)} must be two different names or more")
    classes = fixed or fmt.classes or _found(parts)
    for name, rows in parts:
        for row in rows:
            if row.label not in classes:
                raise DataError(
                    f"{name} row {row.number}: label {row.label!r} is not among the classes"
                    f" {list(classes)}{closest(row.label, classes)}; mend the row, or add it to task.classes"
                )
    return classes


def _places(parts: Sequence[tuple[str, Sequence[Row]]]) -> tuple[str, ...]:
    """One class for each candidate: all rows have as many."""
    most = 0
    for name, rows in parts:
        for row in rows:
            offered = len(json.loads(row.inputs[1]))
            if most and offered != most:
                raise DataError(
                    f"{name} row {row.number}: it has {offered} choices where rows before have {most}; give all rows as"
                    " many, or use format: choices or question"
                )
            most = offered
    return tuple(map(str, range(most)))


def _found(parts: Sequence[tuple[str, Sequence[Row]]]) -> tuple[str, ...]:
    labels = {row.label for _, rows in parts for row in rows}
    num_rows = sum(len(rows) for _, rows in parts)
    if len(labels) < 2:
        raise DataError(
            f"one-class split: all {num_rows} rows have the label {sorted(labels)}; a task needs two classes or more"
        )
    if len(labels) > MANY_CLASSES and len(labels) > num_rows / 2:
        raise DataError(
            f"the label column holds {len(labels)} different values in {num_rows} rows, such as {min(labels)[:40]!r}; "
            "name the column with the class: columns: {label: COLUMN}"
        )
    numbers = all(label.lstrip("-").isdecimal() for label in labels)
    return tuple(sorted(labels, key=int) if numbers else sorted(labels))


def _clean(parts: Mapping[str, Sequence[Row]], spec: TaskSpec) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The rows of each part without duplicates and without those that give way to another part's; and how many were
    dropped."""
    unique = {name: split.drop_duplicates(rows) for name, rows in parts.items()}
    clean = {name: rows for name, (rows, _, _) in unique.items()}
    # A group that the user names is kept whole whatever it takes. A format's own is not enough to overrule the test
    # split that the dataset's authors made.
    groups = bool(spec.columns.get("group"))
    for name, stay in GIVES_WAY.items():
        if name in clean:
            others = {other: clean[other] for other in stay if other in clean}
            clean[name] = split.drop_overlap(name, clean[name], others, spec.overlap, groups=groups)
    split.check_ids(row for rows in clean.values() for row in rows)
    dropped = {
        "duplicates": sum(count for _, count, _ in unique.values()),
        "conflicting_labels": sum(conflicts for _, _, conflicts in unique.values()),
        "overlap_dropped": sum(len(rows) - len(clean[name]) for name, (rows, _, _) in unique.items()),
    }
    return clean, dropped


def _describe(
    by_split: Mapping[str, Sequence[Row]], caps: Mapping[str, int | None], classes: Sequence[str], *, grouped: bool
) -> dict[str, Any]:
    counts = {name: Counter(row.label for row in rows) for name, rows in by_split.items()}
    units = {name: {row.unit for row in rows} for name, rows in by_split.items()}
    train_units = set().union(*(found for name, found in units.items() if name != "test"))
    sizes = {name: len(rows) for name, rows in by_split.items()}
    short = {name: cap for name, cap in caps.items() if cap and sizes.get(name, 0) < cap}
    facts: dict[str, Any] = {
        "sizes": sizes,
        "short": {name: {"asked": cap, "got": len(by_split[name])} for name, cap in short.items()},
        "class_shares": {name: {label: counts[name][label] / sizes[name] for label in classes} for name in by_split},
    }
    origins = {name: Counter(row.source for row in rows) for name, rows in by_split.items()}
    if any(any(found) for found in origins.values()):
        facts["sources"] = {name: dict(sorted(found.items())) for name, found in origins.items()}
    if grouped:
        facts["groups"] = {name: len(found) for name, found in units.items()}
        facts["groups_also_in_test"] = len(train_units & units["test"])
    return facts


def _build(
    by_split: Mapping[str, Sequence[Row]], spec: TaskSpec, fmt: Format, classes: tuple[str, ...], facts: dict[str, Any]
) -> Prepared:
    datasets, gold, slices = {}, {}, {}
    truncated = {}
    for name, rows in by_split.items():
        ids = [row.id for row in rows]
        texts = [_cut_inputs(row.inputs, spec, fmt) for row in rows]
        truncated[name] = sum(short != row.inputs for short, row in zip(texts, rows, strict=True))
        inputs: dict[str, Any] = {c: [text[i] for text in texts] for i, c in enumerate(fmt.kind.columns)}
        sources = [row.source for row in rows] if any(row.source for row in rows) else None
        datasets[name] = Dataset.of(spec.data, name, fmt.kind, classes, ids, sources=sources, **inputs)
        gold[name] = _gold(rows, classes)
        slices[name] = _slices(rows)
    return Prepared(datasets, gold, slices, facts | {"truncated": truncated})


def _cut_inputs(inputs: tuple[str, ...], spec: TaskSpec, fmt: Format) -> tuple[str, ...]:
    short = (cut(text, spec.max_words, spec.max_chars, fmt.keeps) for text in inputs[: fmt.kind.cut])
    return (*short, *inputs[fmt.kind.cut :])


def _gold(rows: Sequence[Row], classes: tuple[str, ...]) -> LabelSet | Answers:
    ids = [row.id for row in rows]
    if classes:
        return LabelSet.hard(ids, [classes.index(row.label) for row in rows], len(classes), source="gold")
    return Answers.of(ids, [row.label for row in rows], source="gold")


def _slices(rows: Sequence[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.slice:
            found[row.slice].append(row.id)
    return dict(sorted(found.items()))


def cut(text: str, max_words: int | None, max_chars: int | None, keeps: Literal["start", "end"]) -> str:
    """At most so many words and characters of one end of a text; the spacing between the words that stay is kept."""
    if max_words is not None and len(text.split()) > max_words:
        words = [match.span() for match in re.finditer(r"\S+", text)]
        text = text[: words[max_words - 1][1]] if keeps == "start" else text[words[-max_words][0] :]
    if max_chars is not None and len(text) > max_chars:
        text = text.strip()[:max_chars] if keeps == "start" else text.strip()[-max_chars:]
    return text
