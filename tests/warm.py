"""Preloaded by the fork server: imports what a fit imports, so that a forked process starts at once."""

import tempfile
from pathlib import Path

import pyarrow.parquet  # noqa: F401
from studies import config, run, write_rows

with tempfile.TemporaryDirectory() as folder:
    write_rows(Path(folder))
    run(config("naive"), Path(folder), str(Path(folder) / "store"))
