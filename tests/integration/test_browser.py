"""The report's page in a real browser: nothing on its console, nothing asked of a network, no wider than the window,
readable in the light and in the dark, and of use with a keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import opened
from face import Face

from w2s_ray.reports.document import Document, Section, Table
from w2s_ray.reports.html import FOLD, render_page

CONTRAST = """
() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const worst = {};
  for (const one of document.querySelectorAll("p, li, a, caption, th, td, figcaption, code, svg text")) {
    if (one.tagName === "text" && one.closest("[id*=axes]")?.querySelector("[id*=QuadMesh], image")) continue;
    const style = getComputedStyle(one), ink = light(one.tagName === "text" ? style.fill : style.color);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    worst[one.tagName] = Math.min(worst[one.tagName] ?? 99, ratio);
  }
  return worst;
}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with Face.of_module(tmp_path_factory, "page") as face:
        bold = {"type": "naive", "name": "<b>bold</b>", "loss": {"type": "logconf", "aux": 0.5}}
        ran = face.run({"methods": ["naive", bold], "seeds": [0, 1]})
        assert ran.code == 0, ran.err
        yield next(face.folder.glob("runs/*/report.html"))


@pytest.mark.parametrize(("width", "dark"), [("wide", False), ("phone", True)])
def test_a_page_is_quiet_asks_for_nothing_and_fits(page: Path, width: str, dark: bool) -> None:
    with opened(page, width, dark=dark) as seen:
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        worst = seen.page.evaluate(CONTRAST)
        assert "text" in worst and min(worst.values()) >= 4.5, worst
        assert seen.page.locator("svg[role=img]").count() >= 4
        assert seen.page.locator("script").count() == 1 and "<b>bold</b>" in seen.page.inner_text("main")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Of a study of several methods and pairs of models, of two studies together, and of all runs."""
    with Face.of_module(tmp_path_factory, "pages") as face:
        pairs = {"models.weak": ["world/nano", "world/micro"], "models.strong": ["world/micro", "world/mini"]}
        many = {"name": "many", "methods": ["naive", "probe"], "seeds": [0, 1], "grid": pairs}
        for ran in (face.run(many), face.run({"seeds": [0]})):
            assert ran.code == 0, ran.err
        assert face.w2s("compare", "many", "small", "--html", "runs/both.html").code == 1, "they differ"
        assert face.w2s("report", "--index").code == 0
        runs = face.folder / "runs"
        yield {"many": runs / "many/report.html", "both": runs / "both.html", "all": runs / "index.html"}


@pytest.mark.parametrize("name", ["many", "both", "all"])
def test_so_are_pages_of_much(pages: dict[str, Path], name: str) -> None:
    for width in ("wide", "phone"):
        with opened(pages[name], width) as seen:
            assert seen.said == []
            assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
            assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert min(seen.page.evaluate(CONTRAST).values()) >= 4.5
            assert seen.page.locator("table caption").count() >= 1


def test_numbers_lead_to_their_seeds_their_keys_and_their_records(page: Path) -> None:
    with opened(page) as seen:
        seen.page.locator("#gap-recovered td a").first.click()
        assert seen.page.url.endswith("#cell-0")
        seen.page.locator("#cell-0 td a").first.click()
        row = seen.page.locator("#keys-0")
        assert row.is_visible(), "the folded section has opened"
        to = row.locator("a").first.get_attribute("href")
        assert to is not None and (page.parent / to).resolve().is_file()
        found = seen.page.eval_on_selector_all("a", "links => links.map((one) => one.getAttribute('href'))")
        files = {to for to in found if not to.startswith("#")}
        assert {"cells.parquet", "config.resolved.yaml", "gap.svg"} < files
        assert [to for to in files if not (page.parent / to).resolve().is_file()] == []


def test_a_table_is_sorted_filtered_and_unfolded_with_the_keyboard(tmp_path: Path) -> None:
    rows = tuple((f"row {n}", "odd" if n % 2 else "even", str((7 * n) % 101)) for n in range(FOLD + 10))
    document = Document("d", (), (Section("s", (Table(("name", "kind", "n"), rows, 2, filters=(1,)),)),))
    (tmp_path / "page.html").write_text(render_page(document), encoding="utf-8")
    with opened(tmp_path / "page.html") as seen:
        shown = "tbody tr:visible td:nth-child(3)"
        assert len(seen.words(shown)) == FOLD
        seen.page.get_by_role("button", name="n", exact=True).press("Enter")
        assert seen.page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        numbers = [int(n) for n in seen.words(shown)]
        assert numbers == sorted(numbers, reverse=True) and numbers[0] == max(int(row[2]) for row in rows)
        seen.page.get_by_role("button", name="n", exact=True).press("Enter")
        assert next(int(n) for n in seen.words(shown)) == min(int(row[2]) for row in rows)
        seen.page.get_by_label("kind").select_option("odd")
        assert set(seen.words("tbody tr:visible td:nth-child(2)")) == {"odd"}
        assert len(seen.words(shown)) == len(rows) // 2
        seen.page.get_by_label("kind").select_option("")
        seen.page.get_by_role("button", name="Show all").press("Enter")
        assert len(seen.words(shown)) == len(rows)
        assert seen.said == []


def test_numbers_times_and_words_are_sorted_for_what_they_are(tmp_path: Path) -> None:
    rows = (("12 min 5 s", "132,000"), ("no gap (72.4 %)", "4,400,000"), ("59.0 s", "9"), ("3 h 20 min", ""))
    document = Document("d", (), (Section("s", (Table(("time", "parameters"), rows, 0),)),))
    plain = Document("d", (), (Section("s", (Table(("time", "parameters"), rows, 2),)),))
    for page, column, order in (
        (document, "time", ["3 h 20 min", "12 min 5 s", "59.0 s", "no gap (72.4 %)"]),
        (plain, "parameters", ["no gap (72.4 %)", "12 min 5 s", "59.0 s", "3 h 20 min"]),
    ):
        (tmp_path / "page.html").write_text(render_page(page), encoding="utf-8")
        with opened(tmp_path / "page.html") as seen:
            seen.page.get_by_role("button", name=column, exact=True).click()
            assert seen.words("tbody tr > :first-child") == order


def test_paper_shows_every_row(tmp_path: Path) -> None:
    rows = tuple((f"row {n}", str(n)) for n in range(2 * FOLD))
    document = Document("d", (), (Section("s", (Table(("name", "n"), rows, 1),)),))
    (tmp_path / "page.html").write_text(render_page(document), encoding="utf-8")
    with opened(tmp_path / "page.html") as seen:
        seen.page.emulate_media(media="print")
        assert seen.page.locator("tbody tr:visible").count() == len(rows)
        assert not seen.page.locator("button.more").is_visible()
