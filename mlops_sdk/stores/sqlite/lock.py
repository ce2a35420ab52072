"""The store's write lock: one holder at a time, over all processes and threads.

SQLite has locks of its own. This one keeps writers from ever meeting there (SQLite's waiting is by turns of luck and
ends in "database is locked"), and keeps commits and checkpoints of two connections apart, which SQLite from 3.7.0 to
3.51.2 can lose data over.

References
----------
.. [1] ``docs/adr/0003-sqlite-store.md``
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlops_sdk import _forking
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.stores.sqlite.directory import claim

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    try:
        import fcntl
    except ImportError:  # no file locks here: SQLite's own BEGIN IMMEDIATE must do
        fcntl = None  # type: ignore[assignment]

    def _try_lock(descriptor: int) -> bool:
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


_FIRST_WAIT_S = 0.0005
_LONGEST_WAIT_S = 0.02
_open_descriptors: set[int] = set()


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float, mode: int) -> Iterator[None]:
    """Hold the lock on the file `path`, which is made when it is not there.

    Parameters
    ----------
    path : Path
    timeout_s : float
    mode : int
        Permissions of the file, whatever the umask.

    Raises
    ------
    StoreUnavailableError
        If somebody else held it all the time.
    OSError
        If the file cannot be made or locked.

    Notes
    -----
    Not re-entrant. Dies with the process; a forked child does not inherit it.
    """
    deadline = time.monotonic() + timeout_s
    wait_s = _FIRST_WAIT_S
    while True:
        with _opened(path, mode) as descriptor:
            if _try_lock(descriptor):
                try:
                    if _is_current(descriptor, path):
                        yield
                        return
                finally:
                    _unlock(descriptor)
        if time.monotonic() > deadline:
            raise StoreUnavailableError(
                f"{path}: another process has been writing to the store for {timeout_s:g} s; nothing was written. "
                "Try again; if it stays so, look for a process that hangs"
            )
        time.sleep(wait_s * random.uniform(0.5, 1.0))
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)


@contextlib.contextmanager
def _opened(path: Path, mode: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), mode)
    _open_descriptors.add(descriptor)
    try:
        claim(descriptor, path.parent, mode)
        yield descriptor
    finally:
        _open_descriptors.discard(descriptor)
        os.close(descriptor)


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the locked file is the one that others will lock, and not one that was deleted meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _close_in_child() -> None:
    # closing does not unlock for the parent; not closing would keep the lock when the parent is killed
    for descriptor in list(_open_descriptors):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _open_descriptors.clear()


_forking.watch(_forking.STORES, after_in_child=_close_in_child)
