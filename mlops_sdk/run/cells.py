"""Cells of a notebook: a run that nobody ends is ended as the last cell that had to do with it.

A script that raises ends, and its run is FAILED. A notebook that raises goes on living, and its run stays open for the
next cell. When that run is ended later, by the kernel's end or by another start, what was last seen of it is the truth:
the exception or interrupt of a cell, unless a later cell has logged to it and ended well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mlops_sdk.run import active
from mlops_sdk.run.endings import of_exception

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_SYSTEM = "system/"


class _State:
    """The shell whose cells are watched."""

    shell: Any = None


def watch() -> None:
    """See how each cell ends, where this is a notebook; idempotent."""
    if not active.in_notebook():
        return
    shell = sys.modules["IPython"].get_ipython()
    if _State.shell is not shell:
        _State.shell = shell
        shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any) -> None:
    """Keep how the cell ended with each open run; called by IPython, which shows errors of ours and goes on."""
    error = getattr(result, "error_in_exec", None)
    for run in active.all_open():
        logged = _logged(run)
        if error is not None:
            run._cell_ending = of_exception(error)
        elif logged != run._logged_before:
            run._cell_ending = None
        run._logged_before = logged


def _logged(run: Run) -> Any:
    """What changes when a cell logs metrics or params; the system's own metrics do not count."""
    steps = run._recorder.journal.highest_steps()
    return {key: step for key, step in steps.items() if not key.startswith(_SYSTEM)}, len(run._params_seen)
