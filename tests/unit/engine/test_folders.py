"""Folders of reports, here and on a URL."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from w2s_ray.core.errors import InputError
from w2s_ray.engine.folders import readable, written


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    with written(str(tmp_path), "s/search") as folder:
        assert folder == tmp_path / "s/search"
    assert readable(str(tmp_path)) == tmp_path


def test_files_go_to_a_url_and_come_back(tmp_path: Path) -> None:
    url = f"memory://runs-{tmp_path.name}"
    with written(url, "s") as folder:
        (folder / "results.json").write_text("{}")
        (folder / "report.md").write_text("r")
        (folder / "search").mkdir()
        (folder / "search" / "best.yaml").write_text("b")
    fs, root = fsspec.core.url_to_fs(url)
    assert sorted(path.removeprefix(f"{root}/") for path in fs.find(root)) == [
        "s/report.md", "s/results.json", "s/search/best.yaml",
    ]  # fmt: skip
    assert (readable(url) / "s" / "results.json").read_text() == "{}"
    assert not (readable(url) / "s" / "report.md").exists(), "commands read no more than they need"


def test_what_an_error_left_is_kept_too(tmp_path: Path) -> None:
    url = f"memory://left-{tmp_path.name}"
    with pytest.raises(KeyboardInterrupt), written(url, "s") as folder:
        (folder / "plan.json").write_text("{}")
        raise KeyboardInterrupt
    assert (readable(url) / "s" / "plan.json").is_file()


def test_a_bucket_that_is_not_there_is_refused_and_not_made(s3_server: str) -> None:
    with written(f"{s3_server}/runs", "s") as folder:
        (folder / "results.json").write_text("{}")
    assert (readable(f"{s3_server}/runs") / "s" / "results.json").is_file()
    with (
        pytest.raises(InputError, match="--runs: s3://misspelt/runs cannot be written"),
        written("s3://misspelt/runs", "s"),
    ):
        raise AssertionError("the work began")
    assert not fsspec.filesystem("s3").exists("misspelt")


@pytest.mark.parametrize("url", ["nowhere://x/y", "s3://"])
def test_a_url_that_cannot_be_written_is_refused_before_the_work(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InputError, match=f"--runs: {url}"), written(url, "s"):
        raise AssertionError("the work began")
