"""A method of another package that makes texts, rows and a picture is one file: `two_opinions.py`, found by its entry
point alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.face import Face

from w2s_ray.core.plugins import available


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    monkeypatch.delenv("W2S_STORE", raising=False)
    info = tmp_path / "others-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[w2s_ray.methods]\ntwo_opinions = two_opinions:TwoOpinions\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    available.cache_clear()
    yield Face(tmp_path, monkeypatch)
    available.cache_clear()


def test_its_texts_its_column_and_its_picture_come_out(face: Face) -> None:
    study = {"methods": [{"type": "two_opinions", "words": 2}], "seeds": [0, 1], "task.test": 100}
    ended = face.run(study)
    assert ended.code == 0, ended.err
    folder = face.folder / "runs/small"
    cell = json.loads((folder / "results.json").read_text())["cells"][0]
    (table,) = cell["diagnostics"]
    assert [row["opinions"] for row in table["rows"]] == [0, 2]
    assert table["rows"][1]["accuracy"] == cell["labels"]["accuracy"], "put in by the scorer"
    assert "## What opinions are worth" in (folder / "report.md").read_text()
    assert "<svg" in (folder / "opinions.svg").read_text()
    assert len((folder / "opinions.csv").read_text().splitlines()) == 3
    asked = [json.loads(path.read_text()) for path in (face.store / "predict").glob("*/record.json")]
    assert sum("recipe" in record["params"] for record in asked) == 4, "two models on two splits, whatever the seed"
    again = face.run(study)
    assert face.results()["steps"]["executed"] == 0, again.err
