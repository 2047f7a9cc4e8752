"""A whole study on a store that is no disk: uploads, downloads, checkpoints, leases, and a second driver elsewhere."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from studies import config, run, write_rows

from w2s_ray.engine.store import open_store


@pytest.mark.parametrize("scheme", ["memory", "s3"])
def test_a_study_on_an_object_store_equals_one_on_a_disk(
    scheme: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path)
    url = f"{request.getfixturevalue('s3_server')}/{uuid4().hex}" if scheme == "s3" else f"memory://{uuid4().hex}"
    disk, remote = run(config("naive"), tmp_path, str(tmp_path / "store")), run(config("naive"), tmp_path, url)
    assert (remote.labels, remote.students, remote.scores) == (disk.labels, disk.students, disk.scores)
    open_store.cache_clear()
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "another machine's cache"))
    again = run(config("naive"), tmp_path, url)
    assert again.executed == []
    assert (again.labels, again.students, again.scores) == (disk.labels, disk.students, disk.scores)
    store = open_store(url)
    assert not store.fs.glob(f"{store.root}/leases/*")
    assert not store.fs.glob(f"{store.root}/*/*/work/*")
