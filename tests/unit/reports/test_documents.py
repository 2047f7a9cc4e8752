"""Documents and the files beside them: what is printed, in which order, and whose files are removed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure as Picture

from w2s_ray.reports.document import DataFile, Document, Figure, Notes, Paragraph, Section, Table
from w2s_ray.reports.drawing import canvas
from w2s_ray.reports.files import WRITTEN, write_files
from w2s_ray.reports.markdown import render


def picture(name: str) -> Figure:
    def draw() -> Picture:
        drawn = canvas(1, 1)
        drawn.text(0.5, 0.5, f"picture {name}")
        return drawn

    return Figure(name, f"Picture {name}", "what it shows", draw)


NESTED = Document(
    "A page",
    (Paragraph("First."),),
    (
        Section("One", (picture("1.svg"), Notes(("a", "b"))), (Section("Inner", (picture("1a.svg"),)),)),
        Section("Two", (Table(("name", "n"), (("x|y", "1"), ("z", "2")), 1), picture("2.svg"))),
    ),
    (DataFile("t.csv", ("name", "n"), (("a,b", 0.5), ("é\nf", None), ('"', 10**20))),),
)


def test_a_page_is_headings_by_depth_words_lists_tables_and_pictures() -> None:
    assert render(NESTED) == (
        "# A page\n\nFirst.\n\n## One\n\n![Picture 1.svg](1.svg)\n\n- a\n- b\n\n### Inner\n\n"
        "![Picture 1a.svg](1a.svg)\n\n## Two\n\n| name | n |\n| --- | ---: |\n| x\\|y | 1 |\n| z | 2 |\n\n"
        "![Picture 2.svg](2.svg)\n"
    )


# --- files ---


def document(*names: str) -> Document:
    """With a table or a picture of each name."""
    tables = tuple(DataFile(name, ("name",), ((name,),)) for name in names if name.endswith(".csv"))
    figures = tuple(picture(name) for name in names if not name.endswith(".csv"))
    return Document("x", (), (Section("s", figures),), tables)


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {WRITTEN}


def test_tables_are_written_as_they_are(tmp_path: Path) -> None:
    write_files(tmp_path, NESTED)
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["name", "n"], ["a,b", "0.5"], ["é\nf", ""], ['"', str(10**20)]]
    assert ">picture 1a.svg</text>" in (tmp_path / "1a.svg").read_text()
    assert there(tmp_path) == {"t.csv", "1.svg", "1a.svg", "2.svg"}


NAMES = st.sets(st.sampled_from(["a.csv", "b.csv", "c.svg", "d.svg"]))


@given(st.lists(NAMES, max_size=5))
@settings(max_examples=30, deadline=None)
def test_beside_a_report_lie_its_own_files_and_those_of_others(
    tmp_path_factory: pytest.TempPathFactory, reports: list[set[str]]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "mine.csv").write_text("of a user")
    for names in reports:
        write_files(folder, document(*names))
        assert there(folder) == names | {"mine.csv"}


@pytest.mark.parametrize("name", ["../outside.csv", "sub/inside.csv", "/tmp/x"])
def test_a_list_that_was_tampered_with_removes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "outside.csv", folder / "sub" / "inside.csv", folder / "old.csv"):
        path.write_text("x")
    (folder / WRITTEN).write_text(f"{name}\nold.csv\ngone.csv")
    write_files(folder, document())
    assert (tmp_path / "outside.csv").is_file() and (folder / "sub" / "inside.csv").is_file()
    assert not (folder / "old.csv").exists() and (folder / WRITTEN).read_text() == ""
