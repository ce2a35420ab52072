"""In a notebook, with a real kernel: cells are run again, interrupted, and the kernel goes away."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
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


def _execute(*cells: str, fails: bool = False, allow_errors: bool = False) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=allow_errors)
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


def test_a_notebook_that_stops_at_an_error_leaves_a_failed_run(tmp_path: Path) -> None:
    start = START.format(uri=str(tmp_path))
    _execute(start, "run.log_metric('a', 1.0)", "raise ValueError('in a cell')", fails=True)
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert (run.status, run.end_reason, run.metrics) == ("FAILED", "exception", {"a": 1.0})
    assert run.traceback is not None
    assert "ValueError: in a cell" in run.traceback


def test_a_cell_that_goes_on_after_an_error_makes_it_good(tmp_path: Path) -> None:
    cells = [START.format(uri=str(tmp_path)), "try_again = 1 / 0", "run.log_metric('a', 1.0)", "'no matter'"]
    _execute(*cells, allow_errors=True)
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert (run.status, run.metrics) == ("FINISHED", {"a": 1.0})


def test_looking_at_things_after_an_interrupt_does_not_make_it_good(tmp_path: Path) -> None:
    start = START.format(uri=str(tmp_path))
    interrupt = "import os, signal, time\nrun.log_metric('a', 1.0)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)"
    notebook = _execute(start, interrupt, "run.metrics", start, allow_errors=True)
    assert "is ended now as KILLED" in str(notebook.cells[3].outputs)
    second, first = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert (first.status, first.metrics) == ("KILLED", {"a": 1.0})
    assert second.status == "FINISHED"


def test_a_run_that_ended_itself_keeps_its_own_word(tmp_path: Path) -> None:
    cells = [START.format(uri=str(tmp_path)), "1 / 0", "run.finish()", "1 / 0"]
    _execute(*cells, allow_errors=True)
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert run.status == "FINISHED"


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_restart_of_the_kernel_leaves_a_true_status(tmp_path: Path, is_killed: bool) -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    try:
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        cell = START.format(uri=str(tmp_path)) + "\nrun.log_metric('a', 1.0)"
        assert client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)["content"]["status"] == "ok"
        manager.restart_kernel(now=is_killed)
        client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    expected = ("KILLED", "lost:process") if is_killed else ("FINISHED", None)
    assert ((run.status, run.end_reason), run.metrics) == (expected, {"a": 1.0})


def _html(cell: nbformat.NotebookNode) -> list[str]:
    return [output["data"]["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]


def test_one_cell_is_kept_up_to_date_while_the_run_goes_on(tmp_path: Path) -> None:
    steps = "import time\nfor step in range(20):\n    run.log_metric('loss', 1 / (1 + step), step=step)\n    time.sleep(0.15)"
    notebook = _execute(START.format(uri=str(tmp_path)), "run.live('loss')", steps, "run.finish()", "run")
    (shown,) = _html(notebook.cells[1])
    assert "FINISHED" in shown
    assert ">19<" in shown
    assert "<svg" in shown
    assert [_html(cell) for cell in notebook.cells[2:4]] == [[], []]
    assert "FINISHED" in _html(notebook.cells[4])[0]


def test_a_plot_shows_itself_once(tmp_path: Path) -> None:
    cells = [START.format(uri=str(tmp_path)), "run.log_metric('a', 1.0)", "run.plot('a')", "ax = run.plot('a')"]
    notebook = _execute(*cells)
    (output,) = notebook.cells[2].outputs
    assert len(output["data"]["image/png"]) > 1000
    assert 600 < output["metadata"]["image/png"]["width"] < 900
    assert notebook.cells[3].outputs == []


def test_with_in_a_cell_ends_as_its_block_does(tmp_path: Path) -> None:
    cell = START.format(uri=str(tmp_path)) + "\nwith run:\n    run.log_metric('a', 1.0)\n    raise KeyboardInterrupt"
    _execute(cell, fails=True)
    (run,) = mlops_sdk.search_runs(tracking_uri=tmp_path)
    assert run.status == "KILLED"
    assert run.metrics == {"a": 1.0}
