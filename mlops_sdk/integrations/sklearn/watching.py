"""Whether a call is one to record: by whom it was made, and what it is inside of."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_sdk.integrations.sklearn.scope import Scope

_scope: ContextVar[Scope | None] = ContextVar("mlops_sdk_sklearn_scope", default=None)
_is_inside: ContextVar[bool] = ContextVar("mlops_sdk_sklearn_inside", default=False)
_everywhere: list[Scope] = []
_levels: list[int] = []
_lock = threading.Lock()


def watched() -> Scope | None:
    """The scope that a call made now belongs to; None inside a recorded call, in other contexts, and in workers."""
    if _is_inside.get():
        return None
    scope = _scope.get()
    if scope is None:
        if not _everywhere or _is_in_worker_thread():
            return None
        scope = _everywhere[-1]
    return scope if scope.pid == os.getpid() else None


def _is_in_worker_thread() -> bool:
    """Whether this is a thread that joblib runs for a call that is being recorded: it has a context of its own."""
    return bool(_levels) and _nesting_level() > min(_levels, default=0)


def _nesting_level() -> int:
    parallel = sys.modules.get("joblib.parallel")
    if parallel is None:
        return 0
    backend, _ = parallel.get_active_backend()
    return getattr(backend, "nesting_level", None) or 0


@contextmanager
def inside() -> Iterator[None]:
    """Calls made in the block are part of one that is recorded."""
    token = _is_inside.set(True)
    level = _nesting_level()
    with _lock:
        _levels.append(level)
    try:
        yield
    finally:
        with _lock:
            _levels.remove(level)
        _is_inside.reset(token)


@contextmanager
def watching(scope: Scope) -> Iterator[None]:
    """Have `scope` record what this context calls in the block."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator may be ended in another context than it was begun in
            _scope.reset(token)


def watch_everywhere(scope: Scope | None) -> None:
    """Have `scope` record what any context calls, from now on; None: stop."""
    _everywhere[:] = [] if scope is None else [scope]


def is_library(frame: FrameType | None, include: tuple[str, ...]) -> bool:
    """Whether the code of a frame belongs to an installed package: what libraries fit is not the user's fit."""
    if frame is None:
        return False
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package not in include and _is_installed(frame.f_code.co_filename)


@lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    return file.startswith(_installed_below())


@lru_cache(maxsize=1)
def _installed_below() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    below = {os.path.join(paths[name], "") for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return tuple(sorted(below))
