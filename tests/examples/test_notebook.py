"""The notebook runs from its first cell to its last, and its stored output is that of a run."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.processes import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def texts(notebook: Any) -> Iterator[str]:
    """Yield the text of each output."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text") or output.get("data", {}).get("text/plain") or ""


def test_the_notebook_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs, the table is read in its forms, and a wrong row is refused."""
    if importlib.util.find_spec("plotnine") is None:
        pytest.skip("needs the package plotnine")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copy(NOTEBOOK, tmp_path)
    (tmp_path / "diamonds").mkdir()
    shutil.copy(ROOT / "examples" / "diamonds" / "prepare.py", tmp_path / "diamonds")
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    output = "\n".join(texts(notebook))
    for text in ("price: read as `$1,234.5`", "questions: 0", "<Model diamonds_quickstart:1.0.0", "unknown_category"):
        assert text in output
    assert (tmp_path / "quickstart" / "model.yaml").is_file()


def test_the_stored_output_is_complete_and_of_no_machine() -> None:
    """The stored notebook has the output of a run from top to bottom, without paths of the machine."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    output = "\n".join(texts(notebook))
    assert "<Model diamonds_quickstart:1.0.0" in output
    assert not any(name in output for name in ("/home/", "/root/", "/tmp/", "/Users/", str(ROOT)))
