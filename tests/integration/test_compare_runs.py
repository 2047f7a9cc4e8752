"""`w2s compare`: two runs that are the same, two that are not and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_folders import openai_sweep
from integration.face import Face


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Face:
    monkeypatch.delenv("W2S_STORE", raising=False)
    face = Face(tmp_path, monkeypatch)
    assert face.run({"seeds": [0, 1]}).code == 0
    return face


def test_a_run_is_the_same_as_itself_made_anew(face: Face) -> None:
    again = face.w2s("run", "study.yaml", "--local", "--store", str(face.folder / "elsewhere"), "--runs", "other")
    assert again.code == 0, again.err
    ended = face.w2s("compare", "small", "other/small")
    assert ended.code == 0
    assert ended.out.strip() == (
        "2 of 2 cells have the same floor, student, ceiling and gap recovered, to the last digit"
    )


def test_what_differs_is_said_and_which_field_made_it_so(face: Face) -> None:
    changed = face.w2s("run", "study.yaml", "--local", "--runs", "other", "--set", "train.strong.lr=0.01")
    assert changed.code == 0, changed.err
    ended = face.w2s("compare", "small", "other/small")
    assert ended.code == 1
    assert "0 of 2 cells" in ended.out
    assert "naive, world:topic, world/nano -> world/micro, seed 0" in ended.out
    assert "the same" in ended.out, "the floor has not moved"
    lines = ended.out.splitlines()
    assert "student: params.recipe.lr is 0.001 -> 0.01 (2 cells)" in lines
    assert "ceiling: params.recipe.lr is 0.001 -> 0.01 (2 cells)" in lines
    assert not any(line.startswith("floor:") for line in lines)


def test_a_number_that_moved_under_the_same_key_is_said_to_be_of_other_code(face: Face) -> None:
    path = face.folder / "runs/small/results.json"
    results = json.loads(path.read_text())
    results["cells"][0]["student"] += 2**-40
    (face.folder / "moved").mkdir()
    (face.folder / "moved/results.json").write_text(json.dumps(results))
    ended = face.w2s("compare", "small", "moved")
    assert ended.code == 1
    assert "1 of 2 cells have the same" in ended.out
    assert "the keys are the same: what they name was made by other code or on other devices" in ended.out


def test_cells_of_one_alone_are_counted(face: Face) -> None:
    more = face.w2s("run", "study.yaml", "--local", "--runs", "other", "--set", "seeds=[0, 2]")
    assert more.code == 0, more.err
    ended = face.w2s("compare", "small", "other/small")
    assert ended.code == 1
    assert "1 cells are in the first alone" in ended.out
    assert "1 cells are in the second alone" in ended.out
    assert "1 of 1 cells have the same" in ended.out


def test_what_has_not_run_is_refused(face: Face) -> None:
    assert "no such file" in face.w2s("compare", "small", "smaller").refusal


def test_any_number_of_runs_stand_in_one_table_with_the_imported_ones(face: Face) -> None:
    other = face.run({"name": "other", "methods": ["strong_to_strong"], "seeds": [0, 1]})
    assert other.code == 0, other.err
    openai_sweep(face.folder)
    imported = face.w2s("import", "default", "--name", "theirs")
    assert imported.code == 0, imported.err
    ended = face.w2s("compare", "small", "other", "theirs")
    assert ended.code == 0, ended.err
    for row in ("small: naive ", "other: strong_to_strong ", "theirs: logconf "):
        assert row in ended.out
    assert "world:topic: small, other were measured alike: on the same 60 test rows" in ended.out
    assert "other: strong_to_strong − small: naive" in ended.out
    assert "theirs was imported" in ended.out


def test_two_runs_without_a_common_cell_stand_in_the_table(face: Face) -> None:
    """To the last digit there is nothing to compare."""
    other = face.run({"name": "other", "methods": ["strong_to_strong"], "seeds": [0, 1]})
    assert other.code == 0, other.err
    ended = face.w2s("compare", "small", "other")
    assert ended.code == 0
    assert "to the last digit" not in ended.out
    assert "Differences on the same rows" in ended.out


def test_one_run_is_not_compared(face: Face) -> None:
    assert "needs two runs or more" in face.w2s("compare", "small").refusal
