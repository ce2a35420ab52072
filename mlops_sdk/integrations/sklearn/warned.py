"""Warnings raised in a recorded call, kept on their way to where they would have gone anyway."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Warned(NamedTuple):
    """A warning: class name, text."""

    category: str
    message: str


_kept: ContextVar[list[Warned] | None] = ContextVar("mlops_sdk_sklearn_warned", default=None)
_is_quiet: ContextVar[bool] = ContextVar("mlops_sdk_sklearn_quiet", default=False)


def install() -> list[Callable[[], None]]:
    """Listen to `warnings.warn`; returns what undoes it.

    Returns
    -------
    list of callable
        Empty where somebody listens already: in a forked worker, say.

    Notes
    -----
    `warnings.catch_warnings` would change filters for every thread, and shows each place once only: a second fit with the
    same warning would seem to have none.
    """
    original = warnings.warn
    if getattr(original, "_mlops_listens", False):
        return []

    @functools.wraps(original)
    def warn(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **options: Any) -> None:
        kept = _kept.get()
        if kept is not None:
            kept.append(_as_warned(message, category))
        if not _is_quiet.get():
            original(message, category, max(stacklevel, 1) + 1, source, **options)

    def undo() -> None:
        if warnings.warn is warn:
            warnings.warn = original

    warn._mlops_listens = True  # type: ignore[attr-defined]  # told by forked workers
    warnings.warn = warn
    return [undo]


def _as_warned(message: Any, category: Any) -> Warned:
    kind = type(message) if isinstance(message, Warning) else category or UserWarning
    return Warned(getattr(kind, "__name__", str(kind)), str(message)[:2000])


@contextmanager
def keeping() -> Iterator[list[Warned]]:
    """The list that warnings of this context are added to in the block."""
    kept: list[Warned] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings of what the tracker itself calls in the block are nobody's."""
    token = _is_quiet.set(True)
    kept = _kept.set(None)
    try:
        yield
    finally:
        _kept.reset(kept)
        _is_quiet.reset(token)


# -- in workers ----------------------------------------------------------------------------------------------------------

_LOCAL = ("LokyBackend", "MultiprocessingBackend", "SequentialBackend", "ThreadingBackend")
"""Backends whose workers have this package too."""
_MAX_OF_TASK = 1000


class Heard(NamedTuple):
    """What a task returned, and the warnings that were raised in it."""

    result: Any
    warned: list[Warned]


class HearingTask:
    """A task of joblib that brings the warnings raised in it along, from whatever thread or process it runs in."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __getattr__(self, name: str) -> Any:
        """scikit-learn hands its configuration to a task by a method, whose name differs between releases."""
        if not name.startswith("with_config"):
            raise AttributeError(name)

        def with_config(*args: Any) -> HearingTask:
            return HearingTask(getattr(self._function, name)(*args))

        return with_config

    def __call__(self, *args: Any, **kwargs: Any) -> Heard:
        undo = install()
        try:
            with keeping() as kept:
                result = self._function(*args, **kwargs)
        finally:
            for each in undo:
                each()
        return Heard(result, kept[:_MAX_OF_TASK])


def hearing(parallel: Any, tasks: Any) -> Any:
    """Tasks that bring their warnings along, where somebody keeps them and the workers can."""
    if _kept.get() is None or type(getattr(parallel, "_backend", None)).__name__ not in _LOCAL:
        return tasks
    return ((HearingTask(function), args, kwargs) for function, args, kwargs in tasks)


def heard(results: Any) -> Any:
    """Results as the tasks returned them; their warnings are kept here."""
    if isinstance(results, list):
        return [_unpacked(each) for each in results]
    return map(_unpacked, results) if results is not None else None


def _unpacked(each: Any) -> Any:
    if not isinstance(each, Heard):
        return each
    kept = _kept.get()
    if kept is not None:
        kept.extend(each.warned)
    return each.result
