"""What of a study travels to a cluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from w2s_ray.config.load import load_study
from w2s_ray.core.errors import InputError
from w2s_ray.study import pack
from w2s_ray.study.pack import package_of, places

STUDY = """
name: s
task: {data: "file:rows/train.jsonl", labelled: 20, pool: 20, test: 20}
models: {weak: "labels:file:teacher.jsonl#p", strong: world/small}
methods: [naive]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("rows/train.jsonl", "teacher.jsonl", "plugin/mine.py", "notes.txt", "store/train/x/record.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "study.yaml").write_text(STUDY)
    return root


def git(folder: Path, *words: str) -> None:
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, env={**os.environ, **settings})


def names(folder: Path) -> set[str]:
    package = package_of(folder / "study.yaml", load_study(folder / "study.yaml"))
    return {str(file) for file in package.files}


def test_outside_a_repository_the_yaml_and_what_it_names(folder: Path) -> None:
    assert names(folder) == {"study.yaml", "rows/train.jsonl", "teacher.jsonl"}


def test_in_a_repository_what_git_tracks_and_what_the_yaml_names_and_never_git_itself(folder: Path) -> None:
    git(folder, "init")
    (folder / ".gitignore").write_text("store/\nteacher.jsonl\n")
    git(folder, "add", "plugin", ".gitignore")
    (folder / "plugin" / "gone.py").write_text("")
    git(folder, "add", "plugin")
    (folder / "plugin" / "gone.py").unlink()
    assert names(folder) == {".gitignore", "study.yaml", "rows/train.jsonl", "teacher.jsonl", "plugin/mine.py"}


def test_what_a_yaml_extends_goes_with_it(folder: Path) -> None:
    (folder / "base.yaml").write_text(STUDY)
    (folder / "study.yaml").write_text("extends: base.yaml\nname: t\n")
    assert names(folder) == {"study.yaml", "base.yaml", "rows/train.jsonl", "teacher.jsonl"}


def test_a_link_that_leads_outside_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "plugin" / "link").symlink_to(tmp_path / "secret")
    git(folder, "init")
    git(folder, "add", "plugin")
    assert "plugin/link" not in names(folder)


def test_what_lies_elsewhere_is_named_and_not_sent(folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "elsewhere.jsonl"
    rows.write_text("")
    (folder / "study.yaml").write_text(STUDY.replace("rows/train.jsonl", str(rows)))
    package = package_of(folder / "study.yaml", load_study(folder / "study.yaml"))
    assert package.elsewhere == (str(rows),)
    assert str(rows) not in {str(file) for file in package.files}


def test_a_copy_has_the_same_files(folder: Path, tmp_path: Path) -> None:
    package = package_of(folder / "study.yaml", load_study(folder / "study.yaml"))
    package.copy(tmp_path / "copy")
    copied = {
        str(p.relative_to(tmp_path / "copy")): p.read_text() for p in (tmp_path / "copy").rglob("*") if p.is_file()
    }
    assert copied == {str(file): (folder / file).read_text() for file in package.files}


def test_a_package_that_is_too_large_names_its_largest_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "LIMIT_MB", 1.0)
    (folder / "teacher.jsonl").write_bytes(b"x" * 2**21)
    with pytest.raises(InputError, match=r"has 2 MB and may have 1; the largest files are teacher.jsonl \(2.0 MB\), "):
        package_of(folder / "study.yaml", load_study(folder / "study.yaml"))


def test_texts_that_may_name_a_file() -> None:
    raw = {
        "a": "file:x/y.jsonl",
        "b": ["labels:file:z.csv#p", "naive", 3],
        "m": {"untrained:./w": {}},
        "t": "two\nlines/",
    }
    assert list(places(raw)) == ["x/y.jsonl", "z.csv", "./w"]
