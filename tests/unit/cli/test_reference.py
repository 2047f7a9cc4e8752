"""The reference pages are those of the code."""

from __future__ import annotations

import pytest

from w2s_ray.cli.reference import FOLDER, pages

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_the_codes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "write them again: make reference"


def test_there_are_no_other_pages() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("study.md", "| `seeds` | list of integer | `[0]` | of training; rows are the same for all (task.seed) |"),
        ("study.md", "| `clip` | number or null | `1.0` | largest norm of the gradient; null for none |"),
        (
            "study.md",
            "| `workers` | integer or [integer, integer] | `1` | processes that train one fit together; [fewest, most]:"
            " as many as there is room for |",
        ),
        (
            "study.md",
            "| `bootstrap` | Students of growing size in turn, each taught by the one before it. | `ladder` |",
        ),
        ("results.md", "| `cells[].student` | number or null | no | the student on the test rows, in `metric` |"),
        ("commands.md", "| `-n` N | How many rows. Default: `3`. |"),
        ("commands.md", "### w2s world build [NAMES]"),
        ("python.md", "| `rows(handle: Handle) -> Dataset` | Read a data set; waits for it. |"),
        ("python.md", "| `num_classes` | |"),
    ],
)
def test_rows_read_as_people_would_write_them(page: str, row: str) -> None:
    assert row in PAGES[page].splitlines()
