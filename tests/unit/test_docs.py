"""The documents say what is so: links lead somewhere, studies load, commands exist, code that is shown works, tables
are those of the code."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from studies import config, run, write_rows
from typer.main import get_command

from w2s_ray.cli.app import app
from w2s_ray.cli.status import Status
from w2s_ray.config.convention import PRESETS
from w2s_ray.config.load import load_study
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.plugins import available
from w2s_ray.data.prepare import prepare
from w2s_ray.data.sources import schemes, source_identity
from w2s_ray.reports.ending import STATUS, End
from w2s_ray.reports.event_lines import KINDS
from w2s_ray.reports.schema import schema_table

ROOT = Path(__file__).parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(text) if found == language]


def studies() -> list[tuple[str, str]]:
    found = [
        (path.relative_to(ROOT).as_posix(), block)
        for path in DOCS
        for block in blocks(path.read_text(encoding="utf-8"), "yaml")
    ]
    return [
        (f"{name}:{yaml.safe_load(block)['name']}", block)
        for name, block in found
        if {"name", "task"} <= set(yaml.safe_load(block))
    ]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `w2s …` of the documents, in code spans and in blocks."""
    for path in DOCS:
        text = path.read_text(encoding="utf-8")
        pieces = [line for _, code in BLOCK.findall(text) for line in code.splitlines()] + re.findall(
            r"`([^`\n]+)`", BLOCK.sub("", text)
        )
        for piece in pieces:
            match = re.search(r"(?:^|[\s/])w2s ([a-z].*)", piece.partition(" #")[0])
            if match:
                yield path.name, shlex.split(match.group(1))


@pytest.fixture
def contributed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The examples of CONTRIBUTING.md as an installed package with the entry points that it shows."""
    package, info = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").touch()
    for name, code in zip(
        ("self_training", "brier", "headlines", "sqlite_rows"), blocks(CONTRIBUTING, "python"), strict=True
    ):
        (package / f"{name}.py").write_text(code)
    entry_points = blocks(CONTRIBUTING, "toml")[0].replace("project.entry-points.", "").replace('"', "")
    (info / "entry_points.txt").write_text(entry_points)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    available.cache_clear()
    schemes.cache_clear()
    yield tmp_path
    available.cache_clear()
    schemes.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


def test_the_documents_are_there() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md", "clusters.md", "0001-memoised-driver.md"} <= {
        path.name for path in DOCS
    }


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    targets = [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", path.read_text(encoding="utf-8")))
        if "://" not in target
    ]
    missing = [target for target in targets if not (path.parent / target.partition("#")[0]).exists()]
    assert missing == []


def test_the_index_names_every_document() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert [
        path.name for path in (ROOT / "docs").rglob("*.md") if path.name != "README.md" and path.name not in index
    ] == []


def test_there_are_studies_in_the_documents() -> None:
    assert len(studies()) >= 5


@pytest.mark.parametrize(("name", "block"), studies(), ids=[name for name, _ in studies()])
def test_studies_load(name: str, block: str, tmp_path: Path, contributed: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(block, encoding="utf-8")
    study = load_study(path)
    assert len(study.cells) >= 1


def test_commands_exist_with_their_options() -> None:
    known = get_command(app).commands
    seen = set()
    for where, (name, *rest) in commands():
        assert name in known, f"{where}: w2s {name}"
        command = known[name]
        command = getattr(command, "commands", {}).get(rest[0] if rest else "", command)
        options = {option for parameter in command.params for option in parameter.opts}
        unknown = [word for word in rest if word.startswith("-") and word not in options]
        assert unknown == [], f"{where}: w2s {name}"
        seen.add(name)
    assert seen == set(known), "the documents name every command"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for path in DOCS for name in re.findall(r"(?:`|\$ )make ([a-z]+)", path.read_text(encoding="utf-8"))}
    assert {"quickstart", "test", "check"} <= named <= targets


def test_the_readme_shows_the_real_method() -> None:
    shown = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")[0]
    source = (ROOT / "w2s_ray/methods/naive.py").read_text(encoding="utf-8")
    assert source[source.index("class Naive") :] == shown


def test_the_objects_for_programs_are_the_codes() -> None:
    page = (ROOT / "docs/how-to/follow-a-run.md").read_text(encoding="utf-8")
    assert page.partition("schema_table(Status) -->\n")[2] == schema_table(Status)
    fields = {name: {field.name for field in dataclasses.fields(kind)} for name, kind in KINDS.items()}
    fields |= {"trial": {"number", "state", "values", "point"}, "end": set(End.model_fields) - {"at"}}
    table = page[page.index("| kind | further fields |") :].partition("\n\n")[0]
    for name, expected in fields.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", table, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row))) == expected
    assert table.count("\n") == len(fields) + 1
    assert all(f"{status} (" in page.replace("\n", " ") or f"{status} (exit" in page for status in STATUS.values())


@pytest.mark.parametrize(("group", "page"), [("w2s_ray.losses", "losses.md"), ("w2s_ray.formats", "data-formats.md")])
def test_the_tables_name_every_plugin_and_no_other(group: str, page: str) -> None:
    text = (ROOT / "docs/how-to" / page).read_text(encoding="utf-8")
    table = text[text.index("| `type` |" if page == "losses.md" else "| format |") :].partition("\n\n")[0]
    shown = re.findall(r"^\| `(\w+)`", table.replace("| `type` |", ""), re.MULTILINE)
    builtin = {name for name, plugin in available(group).items() if plugin.__module__.startswith("w2s_ray.")}
    assert sorted(shown) == sorted(builtin)


def test_the_tests_that_the_conventions_page_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/how-to/conventions.md").read_text(encoding="utf-8")))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) > 15
    assert named - there == set()


def test_the_conventions_page_names_every_switch() -> None:
    page = (ROOT / "docs/how-to/conventions.md").read_text(encoding="utf-8")
    table = page[page.index("| switch |") :].partition("\n\n")[0]
    for preset in PRESETS.values():
        train = preset["train"]
        switches = {
            "ceiling_on",
            "metric",
            *(f"task.{name}" for name in preset["task"]),
            *(f"train.*.{name}" for role in train for name in train[role]),
        }
        assert {name for name in switches if f"`{name}`" not in table} <= {"train.*.lora"}, "which stands with adapt"


def test_every_method_has_a_page() -> None:
    """And a smoke study. The tables of docs/methods name each once, and no other."""
    pages = "\n".join(
        path.read_text(encoding="utf-8").split("## ", 1)[0] for path in sorted((ROOT / "docs/methods").glob("*.md"))
    )
    shown = [name for name in re.findall(r"^\| `(\w+)` \|", pages, re.MULTILINE) if name != "type"]
    builtin = {
        name for name, plugin in available("w2s_ray.methods").items() if plugin.__module__.startswith("w2s_ray.")
    }
    assert sorted(shown) == sorted(builtin)
    smoked = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "experiments/smoke").glob("*.yaml"))
    assert [name for name in builtin - {"naive"} if not re.search(rf"\b{name}\b", smoked)] == []


def test_the_contributed_method_without_rounds_is_naive(contributed: Path, tmp_path: Path) -> None:
    """CONTRIBUTING.md says so; and its loss trains. Equal students are one artifact, so the second study makes nothing
    new."""
    write_rows(tmp_path)
    store = str(tmp_path / "store")
    naive = run(config({"type": "naive", "loss": "brier"}), tmp_path, store)
    same = run(config({"type": "self_training", "loss": "brier", "rounds": 0}), tmp_path, store)
    assert [key for key in same.executed if not key.startswith("collect/")] == []
    assert list(same.students.values()) == list(naive.students.values())
    more = run(config({"type": "self_training", "loss": "brier", "rounds": 1}), tmp_path, store)
    assert sum(key.startswith("train/") for key in more.executed) == 1
    assert list(more.students.values()) != list(naive.students.values())


def test_the_contributed_source_reads_a_table(contributed: Path) -> None:
    path = contributed / "news.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (text TEXT, label TEXT)")
        connection.executemany(
            "INSERT INTO items VALUES (?, ?)",
            [(f"item {n} is {'good' if n % 2 else 'bad'}", "ny"[n % 2]) for n in range(60)],
        )
    spec = TaskSpec(data="sqlite:news.db#items", heldout=0)
    prepared = prepare(spec, contributed)
    assert sum(map(len, prepared.splits.values())) == 60
    before = source_identity(spec.data, contributed)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE items SET label = 'y' WHERE text = 'item 0 is bad'")
    assert before.startswith("sqlite:items@")
    assert source_identity(spec.data, contributed) != before


def test_the_contributed_format_reads_rows(contributed: Path) -> None:
    fmt = available("w2s_ray.formats")["headlines"]()
    example = fmt.example(
        {"headline": "Rates rise", "body": "The bank said so.", "section": "business"}, lambda purpose: 0.0
    )
    assert (example.inputs, example.label) == (("Rates rise\nThe bank said so.",), "business")
