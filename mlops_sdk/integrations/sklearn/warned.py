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

    Notes
    -----
    `warnings.catch_warnings` would change filters for every thread, and shows each place once only: a second fit with the
    same warning would seem to have none.
    """
    original = warnings.warn

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
