"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int) -> str:
    """Columns from `numbers_from` on are aligned to the right."""
    rule = ["---" if column < numbers_from else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(map(_cell_text, entries))} |" for entries in (header, rule, *rows))


def _cell_text(text: str) -> str:
    return line(text).replace("|", "\\|")


def line(text: str) -> str:
    """On one line, so that a traceback or a folded YAML text does not break the page's structure."""
    return " ".join(text.split())
