"""The notebooks run from the first cell to the last on a real kernel, and show what their readers see without running them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import mlops_sdk

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell shows: the richest type of each output; messages aside."""
    shown = [output for output in cell.outputs if output.get("name") != "stderr"]
    return [max(output.get("data", {"text": ""}), key=lambda kind: (kind != "text/plain", kind)) for output in shown]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_are_kept_and_hold_no_error(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert len(outputs) >= 3
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    text = path.read_text(encoding="utf-8")
    assert "/tmp/" not in text
    assert "<script" not in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # of nbclient's sockets
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_the_same_kinds_of_output(path: Path, tmp_path: Path) -> None:
    kept = [kinds(cell) for cell in code_cells(nbformat.read(path, as_version=4))]
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources=place).execute()
    assert [kinds(cell) for cell in code_cells(notebook)] == kept
    runs = mlops_sdk.search_runs(tracking_uri=tmp_path / ".mlops")
    if path.stem.startswith("1"):
        assert {run.name: run.metrics["test_accuracy"] > 0.9 for run in runs} == {"baseline": True, "search": True}
    if path.stem.startswith("2"):
        children = [run for run in runs if run.parent == "wine-sweep"]
        assert sorted({run.status for run in children}) == ["FAILED", "FINISHED"]
        assert sum(run.status == "FINISHED" for run in children) == 9
    if path.stem.startswith("3"):
        assert "X_train" in str(notebook.cells[4].outputs), "the lost values are found"
        assert len(mlops_sdk.search_runs(experiment="seeds", tracking_uri=tmp_path / ".mlops")) == 10
