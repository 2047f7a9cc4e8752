"""What a user's columns mean, by their names and by what stands in them; and a study written from whatever they are
called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.config.load import load_study
from w2s_ray.core.errors import DataError
from w2s_ray.data.guess import guess_file
from w2s_ray.study.draft import Draft, checked, rows_found, written


def rows(folder: Path, columns: dict[str, Any], count: int = 40) -> Path:
    """`columns`: name -> a value for every row, or values in turn; `%` in a text is the row's number."""
    path = folder / "rows.jsonl"
    found = [{name: _cell(value, n) for name, value in columns.items()} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def _cell(value: Any, n: int) -> Any:
    if isinstance(value, tuple):
        return _cell(value[n % len(value)], n)
    return value.replace("%", str(n)) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("columns", "format", "read"),
    [
        ({"text": "text %", "label": (0, 1)}, "text", {"text": "text", "label": "label"}),
        ({"Review": "a long text %", "Stars": (1, 5, 3)}, "text", {"text": "Review", "label": "Stars"}),
        ({"a": "short %", "b": "a much longer text %", "c": ("x", "y")}, "text", {"text": "b", "label": "c"}),
        ({"id": "%", "text": "t %", "label": (0, 1)}, "text", {"text": "text", "label": "label", "id": "id"}),
        ({"id": ("1", "2"), "text": "t %", "label": (0, 1)}, "text", {"text": "text", "label": "label"}),
        ({"text": "t %", "label": (0.1, 0.9), "y": ("n", "p")}, "text", {"text": "text", "label": "y"}),
        ({"premise": "p %", "hypothesis": "h", "label": (0, 1)}, "pair",
         {"first": "premise", "second": "hypothesis", "label": "label"}),
        ({"chosen": "c %", "rejected": "r %"}, "preference", {"chosen": "chosen", "rejected": "rejected"}),
        ({"question": "q %", "options": (["a", "b"],), "answer": (0, 1)}, "choices",
         {"question": "question", "choices": "options", "answer": "answer"}),
        ({"question": "q %", "answer": "a %"}, "question", {"question": "question", "answer": "answer"}),
        ({"prompt": "p %", "completion": "c %"}, "generation", {"prompt": "prompt", "answer": "completion"}),
        ({"question": "q %", "answer": ("yes", "no")}, "text", {"text": "question", "label": "answer"}),
    ],
)  # fmt: skip
def test_a_guess(tmp_path: Path, columns: dict[str, Any], format: str, read: dict[str, str]) -> None:
    guess = guess_file(rows(tmp_path, columns))
    assert (guess.format, dict(guess.columns)) == (format, read)
    assert (guess.num_rows, guess.all_seen, guess.there) == (40, True, tuple(columns))


def test_what_the_user_says_stands(tmp_path: Path) -> None:
    path = rows(tmp_path, {"text": "t %", "other": "o %", "label": (0, 1), "mark": ("a", "b"), "place": ("x", "y")})
    named = {"text": "other", "label": "mark", "source": "place"}
    assert dict(guess_file(path, named=named).columns) == named
    assert guess_file(path, "pair", {"first": "text", "second": "other"}).columns["label"] == "label"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": "t %", "label": (0.1, 0.7)}, r"none of its columns \(text, label\) looks like the label"),
        ({"text": "t %", "label": "every one another %"}, "say which it is with --column label=NAME"),
        ({"label": (0, 1)}, "looks like the text of the format text"),
    ],
)
def test_what_cannot_be_guessed_is_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        guess_file(rows(tmp_path, columns))


@pytest.mark.parametrize(
    "name",
    ["yes", "1e-3", "a: b", "# no", "two\nlines", '"', "'", "{x}", "&a", "ü 🙂", " x ", "[red]", "\x1b[1m", "-"],
)  # fmt: skip
def test_whatever_a_column_is_called_the_yaml_reads_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = rows(tmp_path, {name: "text %", "label": ("no", f"so {name}")}, count=80)
    draft = Draft("odd", rows_found(path.name, None, {"text": name}), strong="world/micro")
    study = checked(draft, tmp_path)
    (tmp_path / "odd.yaml").write_text(written(draft, tmp_path, "study.schema.json"), encoding="utf-8")
    assert load_study(tmp_path / "odd.yaml").config == study.config
    assert study.config.task.columns["text"] == name
