"""One pass from a source file into a new file, with the SHA-256 of what arrived.

The kernel copies where it can (a reflink shares the blocks, ``copy_file_range`` and ``sendfile`` spare a trip through
this process); then the digest is taken from the *copy*, so that it describes the stored bytes whatever happens to the
source meanwhile. Everything else is read, hashed and written from one buffer, which comes to the same.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from typing import TypeAlias

from mlops_sdk.blobs.progress import Progress

if sys.platform == "linux":
    import fcntl

_FICLONE = 0x40049409  # linux/fs.h

_Move: TypeAlias = Callable[[int, int, int], int]

BUFFER_BYTES = 1 << 20
KERNEL_BYTES = 8 << 20
"""Copied by the kernel at a time, then hashed while it is still in the cache."""


def copy_and_hash(source: int, target: int, *, progress: Progress | None = None) -> tuple[str, int]:
    """Copy an open regular file, from its beginning, into an open empty one.

    Parameters
    ----------
    source, target : int
        File descriptors; `target` is open for reading and writing, and nobody else writes to it.
    progress : Progress, optional
        Told of each piece once it is in `target`.

    Returns
    -------
    tuple of (str, int)
        SHA-256 (lower-case hex) and size of what is in `target` now.

    Raises
    ------
    OSError
        From reading `source` or writing `target` (ENOSPC, EIO, ...); `target` then holds a part.

    Notes
    -----
    Copies at most the size that the source has at the start, so that a file that grows cannot keep it busy for ever; a
    file that claims to be empty (procfs) is read to its end. Does not sync. Other threads run meanwhile.

    References
    ----------
    .. [1] ioctl_ficlone(2), copy_file_range(2), sendfile(2)
    """
    os.lseek(source, 0, os.SEEK_SET)
    limit = os.fstat(source).st_size or None
    arriving = _Arriving(target, progress)
    if limit is not None:
        _copy_in_kernel(source, limit, arriving)
    # whatever the kernel left (all of it, often) is read here; a real fault, such as a full disk, shows here again
    while chunk := os.read(source, _next_bytes(limit, arriving.n_bytes)):
        arriving.write(chunk)
    return arriving.sha256, arriving.n_bytes


def _next_bytes(limit: int | None, n_bytes: int) -> int:
    # a clone is of the whole file, which may have grown past the limit by then
    return BUFFER_BYTES if limit is None else max(0, min(BUFFER_BYTES, limit - n_bytes))


def write_all(target: int, data: bytes | memoryview) -> None:
    """Write every byte of `data`: ``os.write`` may take fewer (a full disk, a limit, 2 GiB)."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]


class _Arriving:
    """The bytes in a target file so far: counted, hashed, reported."""

    def __init__(self, target: int, progress: Progress | None) -> None:
        self.target = target
        self.n_bytes = 0
        self._hasher = hashlib.sha256()
        self._progress = progress

    @property
    def sha256(self) -> str:
        return self._hasher.hexdigest()

    def write(self, chunk: bytes) -> None:
        write_all(self.target, chunk)
        self._count(chunk)

    def read_back(self) -> None:
        """Hash what the kernel has put behind the bytes counted so far."""
        while chunk := os.pread(self.target, BUFFER_BYTES, self.n_bytes):
            self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        self.n_bytes += len(chunk)
        if self._progress is not None:
            self._progress.update(len(chunk))


def _copy_in_kernel(source: int, limit: int, arriving: _Arriving) -> None:
    """Let the kernel copy up to `limit` bytes; ends where it will not, both files' offsets after the last byte."""
    if _clone(source, arriving.target):
        arriving.read_back()
        os.lseek(source, arriving.n_bytes, os.SEEK_SET)
        os.lseek(arriving.target, arriving.n_bytes, os.SEEK_SET)
        return
    for move in _kernel_moves():
        while arriving.n_bytes < limit and _moved(move, source, arriving.target, limit - arriving.n_bytes):
            arriving.read_back()


def _clone(source: int, target: int) -> bool:
    """Share the source's blocks (btrfs, XFS, ...); False where it cannot be done."""
    if sys.platform == "linux":
        try:
            fcntl.ioctl(target, _FICLONE, source)
            return True
        except OSError:
            os.ftruncate(target, 0)  # an interrupted clone may have left a part
    return False


def _kernel_moves() -> list[_Move]:
    if sys.platform != "linux":  # elsewhere sendfile writes to sockets only
        return []
    return [os.copy_file_range, lambda source, target, n_bytes: os.sendfile(target, source, None, n_bytes)]


def _moved(move: _Move, source: int, target: int, n_bytes: int) -> bool:
    try:
        return move(source, target, min(n_bytes, KERNEL_BYTES)) > 0
    except OSError:  # not here, not between these file systems, not for this file: another way
        return False
