"""Live progress of a search or a cross-validation, told by joblib in the process that started it: any backend will do."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

from mlops_sdk.integrations.sklearn import warned
from mlops_sdk.integrations.sklearn.bar import Progress

_EVERY_S = 1.0

_report: ContextVar[_Progress | None] = ContextVar("mlops_sdk_sklearn_progress", default=None)


class _Progress:
    """Tells how many tasks are done: the first time, and then at most once a second."""

    def __init__(self, report: Callable[[int], None], shown: Progress | None) -> None:
        self._report = report
        self._shown = shown
        self._told_s = 0.0
        self._n_done = self._n_told = self._n_before = 0

    def __call__(self, n_done: int) -> None:
        self._n_done = n_done = self._n_before + n_done
        if self._shown is not None:
            self._shown.update(n_done)
        now_s = time.monotonic()
        if now_s - self._told_s >= _EVERY_S:
            self._told_s = now_s
            self.tell()

    def tell(self) -> None:
        """Tell now, if there is anything new."""
        if self._n_done != self._n_told:
            self._n_told = self._n_done
            self._report(self._n_done)

    def next_round(self) -> None:
        """Tasks are counted from 0 again: halving, and searches that cross-validate candidate by candidate."""
        self._n_before = self._n_done

    def close(self) -> None:
        """Nothing more will be done."""
        self.tell()
        if self._shown is not None:
            self._shown.close()


def install() -> list[Callable[[], None]]:
    """Listen to scikit-learn's `Parallel`; returns what undoes it."""
    from sklearn.utils import parallel

    kind = getattr(parallel, "Parallel", None)
    if kind is None or not hasattr(kind, "print_progress") or "print_progress" in vars(kind):
        return []
    standing = vars(kind)["__call__"]

    @functools.wraps(standing)
    def call(self: Any, iterable: Any) -> Any:
        report = _report.get()
        if report is None or not _is_evaluation(sys._getframe(1)):
            return warned.heard(standing(self, warned.hearing(self, iterable)))
        self._mlops_progress = report
        token = _report.set(None)  # what the tasks start in this thread are not the search's own tasks
        try:
            return warned.heard(standing(self, warned.hearing(self, iterable)))
        finally:
            _report.reset(token)
            report.next_round()
            del self._mlops_progress

    def print_progress(self: Any) -> None:
        report = getattr(self, "_mlops_progress", None)
        if report is not None:
            report(self.n_completed_tasks)
        super(kind, self).print_progress()

    kind.__call__, kind.print_progress = call, print_progress

    def undo() -> None:
        kind.__call__ = standing
        del kind.print_progress

    return [undo]


def _is_evaluation(frame: FrameType) -> bool:
    """Whether the tasks are fits of candidates or folds; the trees of a forest that is refitted are not."""
    return str(frame.f_globals.get("__name__", "")).startswith("sklearn.model_selection.")


@contextmanager
def reporting(report: Callable[[int], None], shown: Progress | None = None) -> Iterator[None]:
    """Have `report` called with the number of finished tasks, and a bar kept up to date; `report` must not raise."""
    told = _Progress(report, shown)
    token = _report.set(told)
    try:
        yield
    finally:
        _report.reset(token)
        told.close()
