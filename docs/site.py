"""The files of the site: those of the repository, under their own paths.

README.md, docs/, cluster/, benchmarks/ and experiments/ link to each other by relative paths, which work where the
repository is browsed. With the same paths on the site the same links work there. Links that lead elsewhere are listed
in `external-links.txt` of the site, and not fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
FOLDERS = ("docs", "cluster", "benchmarks", "experiments")
BESIDE = ("LICENSE",)  # linked to, and no page
LEFT_OUT = ("docs/site.py", "docs/notebooks/runs/", "docs/notebooks/store/")  # the latter two, where one was run

external: set[str] = set()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, and the repository's instead of those of docs/ alone."""
    external.clear()
    theme = [file for file in files if file.src_dir != config.docs_dir]
    ours = [File.generated(config, path, abs_src_path=str(ROOT / path)) for path in sorted(paths())]
    return Files([*theme, *ours])


def paths() -> Iterator[str]:
    yield from (*PAGES, *BESIDE)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            parts = path.relative_to(ROOT).parts
            name = "/".join(parts)
            if path.is_file() and not name.startswith(LEFT_OUT) and not any(part[0] in "._" for part in parts):
                yield name


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    external.update(re.findall(r'href="(https?://[^"]+)"', html))


def on_post_build(config: MkDocsConfig) -> None:
    listed = "".join(f"{link}\n" for link in sorted(external))
    Path(config.site_dir, "external-links.txt").write_text(listed, encoding="utf-8")
