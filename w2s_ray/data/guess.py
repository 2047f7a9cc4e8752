"""What the columns of a user's file may mean: which format reads it, and from which columns. A guess by names, and by
values where names say nothing; whoever is shown it may say otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from w2s_ray.core.errors import DataError
from w2s_ray.core.plugins import find
from w2s_ray.data.files import check_file, read_file
from w2s_ray.data.formats import label_of

LOOKED_AT = 20_000  # rows
MOST_CLASSES = 20

# A format's column -> what files call it.
CALLED: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "review", "content", "body", "comment", "document", "message", "tweet", "input"),
    "label": ("label", "labels", "class", "target", "gold", "category", "sentiment", "stars", "rating", "hard_label"),
    "first": ("first", "premise", "sentence1", "text1", "question1", "text_a"),
    "second": ("second", "hypothesis", "sentence2", "text2", "question2", "text_b"),
    "chosen": ("chosen", "preferred", "winner"),
    "rejected": ("rejected", "loser"),
    "question": ("question", "query"),
    "choices": ("choices", "options"),
    "prompt": ("prompt", "instruction"),
    "answer": ("answer", "response", "completion", "output", "solution"),
}
IDS = ("id", "uid", "row_id", "example_id")
# Those that need the most of a file first.
FORMATS = ("preference", "choices", "pair", "question", "generation")


@dataclass(frozen=True)
class Guess:
    """A format and the columns that it reads, those that are called alike too."""

    format: str
    columns: Mapping[str, str]
    there: tuple[str, ...]  # the file's columns
    num_rows: int
    all_seen: bool  # whether these are all rows
    classes: tuple[str, ...] = ()  # that the label's column holds


@dataclass
class _Column:
    """What stands in a column."""

    rows: int = 0
    letters: int = 0
    blank: int = 0  # rows that hold nothing
    unlike: int = 0  # rows that hold no class
    values: dict[str, None] = field(default_factory=dict)  # in their order; no more than tell that these are no classes

    def add(self, value: object) -> None:
        text, name = "" if value is None else str(value).strip(), _class_or_none(value)
        self.rows += 1
        self.letters += len(text)
        self.blank += not text
        self.unlike += name is None
        if name is not None and len(self.values) <= MOST_CLASSES:
            self.values[name] = None

    @property
    def may_be_class(self) -> bool:
        """A class in every row, and most of them in several."""
        return not self.unlike and 2 <= len(self.values) <= min(MOST_CLASSES, max(2, self.rows // 2))


def guess_file(path: Path, format: str | None = None, named: Mapping[str, str] | None = None) -> Guess:
    """What a file's rows are. A format and columns that the user names stand."""
    named = named or {}
    check_file(path, path.name)
    columns, ids, count, more = _look(path)
    chosen = format or _format(columns)
    reads = find("w2s_ray.formats", chosen).columns
    found = {column: named.get(column) or _called(column, columns) for column in reads}
    if "label" in reads and not found["label"]:
        found["label"] = _likely_class(columns, taken=found.values())
    if "text" in reads and not found["text"]:
        found["text"] = _longest(columns, taken=found.values())
    lacking = [column for column, name in found.items() if not name]
    if lacking:
        raise DataError(
            f"{path.name}: none of its columns ({', '.join(columns)}) looks like the {lacking[0]} of the format"
            f" {chosen}; say which it is with --column {lacking[0]}=NAME, or name another --format (`w2s data` lists"
            " them)"
        )
    extra = {"id": ids} if ids and not more and "id" not in named else {}
    label = columns.get(found.get("label") or "")
    classes = tuple(label.values) if label else ()
    kept = {column: name for column, name in {**found, **extra, **named}.items() if name}
    return Guess(chosen, kept, tuple(columns), count, not more, classes)


def _look(path: Path) -> tuple[dict[str, _Column], str, int, bool]:
    """The columns, the one that holds ids, how many rows were looked at, and whether there are more."""
    reading = read_file(path)
    rows = list(islice(reading, LOOKED_AT))
    columns: dict[str, _Column] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, _Column()).add(value)
    if not columns:
        raise DataError(f"{path.name} has no rows; check that it was written to the end")
    everywhere = {name: column for name, column in columns.items() if column.rows == len(rows)}
    named = (name for name in everywhere if name.lower() in IDS and not columns[name].blank)
    ids = next((name for name in named if len({str(row[name]).strip() for row in rows}) == len(rows)), "")
    return everywhere, ids, len(rows), next(reading, None) is not None


def _format(columns: Mapping[str, _Column]) -> str:
    """The first whose columns are all there by name; else one text and its class."""
    for name in FORMATS:
        found = {column: _called(column, columns) for column in find("w2s_ray.formats", name).columns}
        answer = columns.get(found.get("answer") or "")
        classes = name in ("question", "generation") and answer is not None and answer.may_be_class
        if all(found.values()) and not classes:
            return name
    return "text"


def _called(column: str, columns: Mapping[str, _Column]) -> str:
    """The file's column of one of the names that this one goes by; a label must also be one."""
    by_name = {name.lower(): name for name in columns}
    for name in CALLED.get(column, (column,)):
        if name in by_name and (column != "label" or columns[by_name[name]].may_be_class):
            return by_name[name]
    return ""


def _likely_class(columns: Mapping[str, _Column], taken: Iterable[str]) -> str:
    free = {name: column for name, column in columns.items() if name not in set(taken) and column.may_be_class}
    return min(free, key=lambda name: len(free[name].values), default="")


def _longest(columns: Mapping[str, _Column], taken: Iterable[str]) -> str:
    free = {name: column for name, column in columns.items() if name not in set(taken) and not column.blank}
    return max(free, key=lambda name: free[name].letters, default="")


def _class_or_none(value: object) -> str | None:
    """As the formats read a label: nothing, a fraction and a list are none."""
    try:
        return label_of({"label": value})
    except DataError:
        return None
