"""The documents build as a site that asks no network for anything; what is broken in them fails the build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
FOLDERS = ("docs", "cluster", "benchmarks", "experiments")

# Elements that a browser fetches without being asked; `a` is a link that a reader may follow.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


class Resources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in FETCHED:
            self.found.add(dict(attrs).get(FETCHED[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = Resources()
    for path in site.rglob("*.html"):
        pages.feed(path.read_text(encoding="utf-8"))
    assert len(pages.found) > 10
    assert [one for one in pages.found if re.match(r"(\w+:)?//", one)] == []
    styles = "\n".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", styles) == []


def test_the_site_has_every_document_and_names_what_leads_out(site: Path) -> None:
    assert {"index.html", "docs/index.html", "docs/tutorial.html", "cluster/index.html"} <= {
        path.relative_to(site).as_posix() for path in site.rglob("*.html")
    }
    assert "https://arxiv.org/abs/2312.09390\n" in (site / "external-links.txt").read_text(encoding="utf-8")
    assert not list(site.rglob("*.py*c")), "no caches"


def test_what_is_broken_fails_the_build(tmp_path: Path) -> None:
    """A link and an anchor that lead nowhere, and a page that no navigation names."""
    for name in SOURCES:
        shutil.copy(ROOT / name, tmp_path)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs/lost.md").write_text("# Lost\n", encoding="utf-8")
    with (tmp_path / "docs/glossary.md").open("a", encoding="utf-8") as page:
        page.write("\n[gone](no-such-page.md) and [past](world.md#no-such-heading)\n")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode == 1
    assert "docs/lost.md" in built.stderr
    assert "no-such-page.md" in built.stderr
    assert "no-such-heading" in built.stderr
