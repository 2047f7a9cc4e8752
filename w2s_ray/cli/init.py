"""`w2s init`: a few questions, and a study."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from w2s_ray.cli.pin import name_pinned
from w2s_ray.cli.say import say
from w2s_ray.config.yaml_schema import schema_text
from w2s_ray.core.errors import InputError
from w2s_ray.study.draft import DATA, STRONG, WEAK, Draft, RowsFound, checked, name_of, rows_found, written
from w2s_ray.study.warnings import warnings_of

# Beside the study and not in the package: its path stays right where the folder is copied or checked out, without
# network, and it knows the plug-ins of this installation.
SCHEMA = "study.schema.json"


@dataclass(frozen=True)
class Given:
    """What was said on the command line; what was not is asked."""

    data: str | None
    weak: str | None
    strong: str | None
    methods: Sequence[str]
    format: str | None
    columns: Sequence[str]  # each COLUMN=NAME
    yes: bool  # take the defaults

    def ask(self, question: str, default: str) -> str:
        if self.yes:
            return default
        if not sys.stdin.isatty():
            raise InputError(
                f"nobody can be asked here, for there is no terminal ({question}); give --data, --weak, --strong and"
                " --method, or --yes for the defaults of those that are not given"
            )
        return str(typer.prompt(question, default=default)).strip()


def init_study(console: Console, warned: Console, path: Path, given: Given, *, force: bool) -> None:
    """Ask what was not said, check it, write it, and say what comes next."""
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"{path} is to be the YAML of a study; name it {path.name}.yaml")
    if path.exists() and not force:
        raise InputError(f"{path} is there already; name another file, or replace it with --force")
    name, folder = name_of(path), path.absolute().parent
    # Of the hub, the commit is written into the study: a file that teaches shows what is read.
    data = given.data or given.ask("Which rows? world:TASK, a file, or hub:ORG/NAME[@COMMIT]", DATA)
    rows = rows_found(name_pinned("dataset", data, warned), given.format, _columns(given.columns))
    for line in _seen(rows):
        say(console, line)
    weak = given.weak or given.ask("Which weak model? world/NAME, a folder, hub:ORG/NAME[@COMMIT]", WEAK)
    weak = name_pinned("model", weak, warned)
    strong = name_pinned("model", given.strong or given.ask("Which strong model?", STRONG), warned)
    methods = given.methods or given.ask(
        "Which methods or losses? `w2s methods` lists them", ", ".join(rows.methods)
    ).split(",")
    draft = Draft(name, rows, weak, strong, [method.strip() for method in methods])
    for warning in warnings_of(checked(draft, folder)):
        warned.print(Text.assemble(("warning ", "yellow"), warning), soft_wrap=True)
    _write(path, written(draft, folder, SCHEMA))
    if not (folder / SCHEMA).exists():
        _write(folder / SCHEMA, schema_text())
    say(console, f"{path} is written, with {SCHEMA} beside it for editors. Next:\n  w2s plan {path}\n  w2s run {path}")


def _columns(given: Sequence[str]) -> Mapping[str, str]:
    """COLUMN=NAME, as often as it is given."""
    pairs = [one.partition("=") for one in given]
    for column, sign, name in pairs:
        if not (column and sign and name):
            raise InputError(f"--column {column}{sign}{name} is no pair; write --column text=NAME_IN_THE_FILE")
    return {column: name for column, _, name in pairs}


def _seen(rows: RowsFound) -> Iterator[str]:
    """What was found in the rows."""
    if (guess := rows.guess) is not None:
        read = ", ".join(f"{column} from {name}" for column, name in guess.columns.items())
        count = f"{guess.num_rows} rows" if guess.all_seen else f"more than {guess.num_rows} rows"
        yield f"{count} with the columns {', '.join(guess.there)}"
        yield f"read as {guess.format}: {read} (other: --format, --column)"
    if rows.prepared is not None:
        sizes = ", ".join(f"{name} {count}" for name, count in rows.prepared.facts["sizes"].items())
        classes = rows.prepared.splits["pool"].classes
        yield f"split into {sizes}" + (f"; classes {', '.join(classes)}" if classes else "")


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name another file") from None
