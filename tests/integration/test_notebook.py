"""The notebook of the documents, which is run again; what it shows is fit to be shown."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "quickstart.ipynb"
ABSOLUTE = re.compile(r"(?<![\w.:/<*])/(?:home|root|tmp|work|usr|opt|Users|mnt|var)\b")


def shown(notebook: nbformat.NotebookNode) -> list[str]:
    """What the outputs of each code cell are, as kinds of output and of data."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        " ".join(f"{output.output_type}:{'+'.join(sorted(output.get('data', {})))}" for output in cell.outputs)
        for cell in cells
    ]


def test_its_outputs_are_kept_and_say_nothing_of_where_it_was_run() -> None:
    notebook = nbformat.read(NOTEBOOK, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = json.dumps([cell.outputs for cell in code])
    assert not ABSOLUTE.search(outputs) and socket.gethostname() not in outputs
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(cell.metadata for cell in notebook.cells), "such as the times of its execution"
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert "<svg" in outputs and "gap recovered" in outputs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs_and_shows_the_same_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "W2S_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("W2S_STORE", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # of tqdm, where there are no ipywidgets
    notebook = nbformat.read(NOTEBOOK, 4)
    before = shown(notebook)
    client = NotebookClient(notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    assert shown(notebook) == before
    assert (tmp_path / "runs" / "notebook" / "results.json").is_file()
