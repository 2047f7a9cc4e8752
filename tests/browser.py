"""A real browser for tests of pages: Debian's Chromium, driven by Playwright. What a page says on its console and what
it asks for is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = {"wide": (1280, 900), "phone": (390, 844)}


@dataclass
class Opened:
    """A page in a window."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def words(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]


@contextmanager
def opened(path: Path, width: str = "wide", *, dark: bool = False) -> Iterator[Opened]:
    """The page of a file, from the disk."""
    if CHROMIUM is None:
        pytest.skip("apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        wide, high = WIDTHS[width]
        page = browser.new_page(viewport={"width": wide, "height": high}, color_scheme="dark" if dark else "light")
        seen = Opened(page)
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.on("request", lambda request: seen.asked.append(request.url))
        page.goto(path.resolve().as_uri())
        yield seen
        browser.close()
