"""Folders of reports on any fsspec URL. Commands work on local files; what lies elsewhere is copied there and back."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from w2s_ray.core.errors import InputError

READ = ("results.json", "plan.json")  # what commands read of a run
CELL_FILES = ("results.json", "cells.parquet")  # and where they look at its rows
# They have no folders, and making one would make a bucket of a misspelt name.
BUCKETS = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs"))
LAST = "results.json"  # written last: who finds it finds the rest


def is_url(place: str) -> bool:
    """Whether it is not a path of this machine."""
    return "://" in place


@contextmanager
def written(runs: str, name: str) -> Iterator[Path]:
    """The folder of a run, to write to. Where `runs` is a URL, a local one, copied there in the end."""
    if not is_url(runs):
        yield Path(runs) / name
        return
    fs, root = _opened(runs)
    with tempfile.TemporaryDirectory(prefix="w2s-runs-") as temporary:
        folder = Path(temporary) / name
        folder.mkdir(parents=True)
        _put(fs, folder, f"{root}/{name}", runs)  # what cannot be written is refused before the work
        try:
            yield folder
        finally:
            _put(fs, folder, f"{root}/{name}", runs)


def readable(runs: str, files: Sequence[str] = READ, name: str = "*") -> Path:
    """A local folder with what commands read of the runs below `runs`, or of one of them."""
    if not is_url(runs):
        return Path(runs)
    fs, root = _opened(runs)
    temporary = Path(tempfile.mkdtemp(prefix="w2s-runs-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    try:
        fs.invalidate_cache()  # what was there at an earlier look
        for found in (path for wanted in files for path in fs.glob(f"{root}/{name}/{wanted}")):
            local = temporary / Path(found).parent.name / Path(found).name
            local.parent.mkdir(exist_ok=True)
            fs.get_file(found, str(local))
            written_at = fs.modified(found).timestamp()
            os.utime(local, (written_at, written_at))
    except Exception as error:  # noqa: BLE001  (each file system has errors of its own)
        raise InputError(f"--runs: {runs} cannot be read ({error}); check its name and your rights there") from None
    return temporary


def _opened(url: str) -> tuple[Any, str]:
    import fsspec  # takes a while to import

    try:
        fs, root = fsspec.core.url_to_fs(url)
        if not root.strip("/"):
            raise ValueError("it names no folder")
    except (ValueError, ImportError) as error:
        raise InputError(f"--runs: {url} cannot be opened ({error}); give a folder, s3://… or gs://…") from None
    return fs, root.rstrip("/")


def _put(fs: Any, folder: Path, root: str, runs: str) -> None:
    """All files of a folder, results.json last."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.name == LAST, path))
    try:
        if BUCKETS.isdisjoint([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
            fs.makedirs(root, exist_ok=True)
        fs.pipe_file(f"{root}/.probe", b"written by w2s")
        for path in files:
            fs.put_file(str(path), f"{root}/{path.relative_to(folder).as_posix()}")
        fs.rm_file(f"{root}/.probe")
    except Exception as error:  # noqa: BLE001  (as above)
        raise InputError(f"--runs: {runs} cannot be written ({error}); check its name and your rights there") from None
