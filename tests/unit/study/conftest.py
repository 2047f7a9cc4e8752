"""One folder of rows for all tests of this room, whose fits share a store where they are equal."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import write_rows


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `rows.jsonl`, as `studies.config` names it."""
    return write_rows(tmp_path_factory.mktemp("rows"), num_rows=260).parent
