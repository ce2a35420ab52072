"""Which run is meant: this context's, else the process's only open one, else in a notebook the last started."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mlops_sdk import _forking
from mlops_sdk.errors import NoActiveRunError

if TYPE_CHECKING:
    from mlops_sdk.run.run import Run

_current: ContextVar[Run | None] = ContextVar("mlops_sdk_run", default=None)
_open: dict[str, Run] = {}
_last: list[Run] = []


def enter(run: Run) -> None:
    """Make `run` the active one of this context."""
    run._previous = current()
    _open[run.run_id] = run
    _current.set(run)
    _last[:] = [run]


@contextlib.contextmanager
def aside(*, is_last: bool = False) -> Iterator[None]:
    """What is started in the block does not become the active run; nor, unless `is_last`, the one started last."""
    before, last_before = _current.get(), list(_last)
    try:
        yield
    finally:
        _current.set(before)
        if not is_last:
            _last[:] = last_before


def register(run: Run) -> None:
    """Know an attached run of this process, without making it active."""
    _open.setdefault(run.run_id, run)


def leave(run: Run) -> None:
    """`run` has ended; the one it was nested in is active again."""
    if _open.get(run.run_id) is run:
        del _open[run.run_id]
    if _current.get() is run:
        previous = run._previous
        _current.set(previous if previous is not None and not previous._is_over else None)


def current() -> Run | None:
    """The open run of this context."""
    run = _current.get()
    return run if run is not None and not run._is_over else None


def opened(run_id: str) -> Run | None:
    """The open run of that id in this process."""
    return _open.get(run_id)


def all_open() -> list[Run]:
    """Every open run of this process, the newest last."""
    return list(_open.values())


def find() -> Run | None:
    """The run that a module-level function means; None when there is none.

    Raises
    ------
    NoActiveRunError
        If several runs are open and none belongs to this context.
    """
    run = current()
    if run is not None:
        return run
    candidates = [run for run in _open.values() if not run._is_over]
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    if in_notebook():
        return candidates[-1]
    names = ", ".join(f"{run.run_id} ({run.name_hint})" for run in candidates[:10])
    raise NoActiveRunError(
        f"{len(candidates)} runs are open in this process and none in this thread: {names}. Call the method of the run meant"
    )


def last() -> Run | None:
    """The run this process started last, ended or not."""
    return _last[0] if _last else None


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell is not None and hasattr(shell, "kernel")


def _forget_in_child() -> None:
    """The parent's runs stay known: they attach when they are used; nothing is finished for the parent."""
    for run in _open.values():
        run._become_attached()


_forking.watch(_forking.RUN, after_in_child=_forget_in_child)
