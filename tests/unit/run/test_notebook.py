"""In a notebook, with a real kernel: cells are run again, interrupted, and the kernel goes away."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import mlops_sdk

START = "import mlops_sdk\nrun = mlops_sdk.start_run(tracking_uri={uri!r}, capture=False, system_metrics=False)"

# nbclient and jupyter_client talk over sockets of the kernel's own thread; what they leave to the collector is theirs.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def _execute(*cells: str, fails: bool = False) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    if fails:
        with pytest.raises(CellExecutionError):
            client.execute()
    else:
        client.execute()
    return notebook


def test_starting_again_ends_the_earlier_run_and_says_so(tmp_path: Path) -> None:
    start = START.format(uri=str(tmp_path))
    notebook = _execute(start, "run.log_metric('a', 1.0)", start, "mlops_sdk.log_metric('b', 2.0)")
    assert "was still active and is finished now" in str(notebook.cells[2].outputs)
    second, first = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert (first.status, first.metrics) == ("FINISHED", {"a": 1.0})
    assert (second.status, second.metrics) == ("FINISHED", {"b": 2.0})
    assert second._head().entry_point == "notebook"


def test_an_error_in_a_cell_leaves_the_run_open_for_the_next(tmp_path: Path) -> None:
    start = START.format(uri=str(tmp_path))
    _execute(start, "raise ValueError('in a cell')", fails=True)
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert run.status == "FINISHED"  # the kernel was asked to end, and the cell's error was shown to the user


def test_with_in_a_cell_ends_as_its_block_does(tmp_path: Path) -> None:
    cell = START.format(uri=str(tmp_path)) + "\nwith run:\n    run.log_metric('a', 1.0)\n    raise KeyboardInterrupt"
    _execute(cell, fails=True)
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert run.status == "KILLED"
    assert run.metrics == {"a": 1.0}
