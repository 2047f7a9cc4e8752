"""`w2s clean --unused`: what no kept study needs goes, and nothing that one needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from integration.face import Face

from w2s_ray.core.errors import DataError
from w2s_ray.engine.lease import Leases
from w2s_ray.engine.store import open_store

CLEANED = {"type": "clean_labels", "by": "knn"}  # looks at features to which no other result leads
UNUSED = ("clean", "--unused", "--days", "0")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Face:
    """Two studies on one store, which share a teacher."""
    with Face.of_module(tmp_path_factory, "two") as face:
        assert face.run({"seeds": [0], "methods": ["naive", CLEANED]}).code == 0
        assert face.run({"name": "other", "train.strong.lr": 2e-3, "seeds": [0]}).code == 0
    return face


@pytest.fixture
def kept(two: Face, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Face:
    """A copy of them, in which something may be removed."""
    monkeypatch.delenv("W2S_STORE", raising=False)
    return Face(Path(shutil.copytree(two.folder, tmp_path / "copy")), monkeypatch)


def everything(face: Face) -> set[str]:
    return {key.path for key in open_store(str(face.store)).finished()}


def test_what_all_kept_studies_need_stays(kept: Face) -> None:
    before = everything(kept)
    ended = kept.w2s(*UNUSED, "--yes")
    assert ended.code == 0
    assert "nothing to remove in " in ended.out
    assert everything(kept) == before


def test_what_only_a_removed_study_needed_goes_and_the_other_is_still_whole(kept: Face) -> None:
    shutil.rmtree(kept.folder / "runs/other")
    before = everything(kept)
    listed = kept.w2s(*UNUSED)
    assert "train: 2, " in listed.out and "with --yes they are removed" in listed.out
    assert everything(kept) == before
    assert "removed " in kept.w2s(*UNUSED, "--yes").out
    gone = before - everything(kept)
    assert {path.partition("/")[0] for path in gone} == {"train", "predict", "score", "collect"}
    assert not any((kept.store / path).exists() for path in gone)
    again = kept.run({"seeds": [0], "methods": ["naive", CLEANED]})
    assert again.code == 0
    assert kept.results()["steps"]["executed"] == 0, "the kept study finds all that it made"


def test_young_results_stay_whoever_needs_them(kept: Face) -> None:
    shutil.rmtree(kept.folder / "runs/other")
    before = everything(kept)
    assert "all that is older than 7 days is needed" in kept.w2s("clean", "--unused", "--yes").out
    assert everything(kept) == before


def test_several_folders_of_runs_may_share_a_store(kept: Face) -> None:
    (kept.folder / "elsewhere").mkdir()
    (kept.folder / "runs/other").rename(kept.folder / "elsewhere/other")
    assert "needed by no study below runs;" in kept.w2s(*UNUSED).out
    assert "nothing to remove" in kept.w2s(*UNUSED, "--runs", "runs", "--runs", "elsewhere").out


def test_where_it_cannot_know_what_is_needed_it_refuses(kept: Face) -> None:
    before = everything(kept)
    assert "holds no study, so everything" in kept.w2s(*UNUSED, "--yes", "--runs", "nowhere").refusal
    (kept.folder / "empty").mkdir()
    assert "holds no study, so everything" in kept.w2s(*UNUSED, "--yes", "--runs", "empty").refusal
    (kept.folder / "runs/begun").mkdir()
    assert "begun has no results.json, so what it needs is not known" in kept.w2s(*UNUSED, "--yes").refusal
    (kept.folder / "runs/begun/search").mkdir()
    assert "trials.csv cannot be read" in kept.w2s(*UNUSED, "--yes").refusal
    shutil.rmtree(kept.folder / "runs/begun")
    path = kept.folder / "runs/other/results.json"
    read = json.loads(path.read_text())
    read["cells"][0] |= {"status": "failed", "reason": "x"}
    path.write_text(json.dumps(read))
    assert "a cell failed, so what it needs is not known" in kept.w2s(*UNUSED, "--yes").refusal
    assert everything(kept) == before


def test_the_store_of_other_runs_is_refused(kept: Face) -> None:
    before = everything(kept)
    shutil.move(kept.folder / "runs", kept.folder / "moved")
    other = kept.run({"seeds": [5]}, "--store", str(kept.folder / "another"))
    assert other.code == 0
    assert "its results are in the store ../../another (from there), not in " in kept.w2s(*UNUSED, "--yes").refusal
    shutil.rmtree(kept.folder / "runs/small")
    (kept.folder / "runs/found/search").mkdir(parents=True)
    (kept.folder / "runs/found/search/trials.csv").write_text("number,keys\n")
    assert "has nothing that a study below runs names" in kept.w2s(*UNUSED, "--yes").refusal
    assert everything(kept) == before


def test_a_study_that_was_begun_again_and_broken_off_is_refused(kept: Face) -> None:
    before = everything(kept)

    def broken_off(*given: object) -> None:
        raise DataError("broken off")

    with kept.monkeypatch.context() as patch:
        patch.setattr("w2s_ray.study.conduct.run_cells", broken_off)
        assert kept.run({"seeds": [0, 7], "methods": ["naive", CLEANED]}).code == 2
    assert "runs/small was begun again and has not ended" in kept.w2s(*UNUSED, "--yes").refusal
    assert before <= everything(kept)
    assert kept.run({"seeds": [0], "methods": ["naive", CLEANED]}).code == 0
    assert kept.w2s(*UNUSED).code == 0


def test_the_trials_of_a_search_keep_what_they_made(kept: Face) -> None:
    keys = json.loads((kept.folder / "runs/other/results.json").read_text())["cells"][0]["keys"]
    shutil.rmtree(kept.folder / "runs/other")
    (kept.folder / "runs/other/search").mkdir(parents=True)
    row = json.dumps([{"weak": keys["floor"], "student": keys["student"]}]).replace('"', '""')
    (kept.folder / "runs/other/search/trials.csv").write_text(f'number,keys\n0,"{row}"\n')
    before = everything(kept)
    kept.w2s(*UNUSED, "--yes")
    gone = before - everything(kept)
    assert keys["student"] not in gone and keys["floor"] not in gone
    assert keys["score"] in gone and keys["ceiling"] in gone


def test_never_while_a_driver_works_on_the_store(kept: Face) -> None:
    shutil.rmtree(kept.folder / "runs/other")
    before = everything(kept)
    leases = Leases(open_store(str(kept.store)))
    leases.acquire(next(iter(open_store(str(kept.store)).finished())))
    try:
        assert "1 drivers work on " in kept.w2s(*UNUSED, "--yes").refusal
    finally:
        leases.close()
    assert everything(kept) == before
