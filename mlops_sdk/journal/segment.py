"""One segment file of a journal, mapped or appended: the same records, the same interface.

A segment is made ahead of time without a name that readers look at (`prepare`), then begun: it gets its header and is
renamed into place. `write` publishes whole records in one step and raises `ValueError` when it has no room; `seal` ends
it for good, so that nothing can slip in behind its last record.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mlops_sdk.journal.records import (
    DROP_SLOT,
    HEADER_BYTES,
    WriterHeader,
    encode_dropped,
    encode_header,
    record_bytes,
    sound_prefix,
)

SUFFIX = ".seg"
FIRST_BYTES = 64 << 10
LARGEST_BYTES = 4 << 20
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of Linux 5.14; Python has no name for it
_TOUCH_BYTES = 64 << 10
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

CAN_RENAME_OPEN_FILES = os.name == "posix"
"""Windows renames no open file, and no directory that holds one."""


def next_size(size_bytes: int) -> int:
    """Size of the segment that follows one of `size_bytes`: twice as large, up to `LARGEST_BYTES`."""
    return min(size_bytes * 2, LARGEST_BYTES)


class Segment(Protocol):
    """A segment; see the module's text."""

    path: Path
    header: WriterHeader
    size_bytes: int
    write: Callable[[bytes], object]
    is_sealed: bool

    def begin(self, header: WriterHeader, name: str) -> None:
        """Write the header and give the file its name."""
        ...

    def move(self, target: Path, rename: Callable[[], object]) -> None:
        """Have `rename` move the file to `target`, by itself or with its directory."""
        ...

    def published(self) -> int:
        """Offset in the file behind the last whole record."""
        ...

    def seal(self) -> int:
        """Refuse every later write; returns `published()`. Idempotent."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Bytes of the file from `start` to `end`, without touching the mapping."""
        ...

    def unmap(self) -> None:
        """Give the memory of a sealed segment back; reading and syncing go on by the descriptor. Idempotent."""
        ...

    def sync(self) -> None:
        """Make what is published durable; raises OSError, after which the file must be given up."""
        ...

    def set_dropped(self, count: int) -> None:
        """Keep the count of dropped records in the header, which needs no new space."""
        ...

    def close(self) -> None:
        """Unmap and close; the file stays. Idempotent."""
        ...

    def discard(self) -> None:
        """Close and remove the file."""
        ...

    def abandon(self) -> None:
        """In a forked child: drop this process's copies; the file is the parent's."""
        ...


def prepare(directory: Path, size_bytes: int, *, is_mapped: bool, touch: bool = False) -> Segment:
    """Make a segment that has no name yet.

    Parameters
    ----------
    directory : Path
        The writer's directory.
    size_bytes : int
        Room in the file, header included.
    is_mapped : bool
    touch : bool
        Fault the pages in now, on the calling thread (a mapped segment only).

    Raises
    ------
    OSError
        If the disk has no room (ENOSPC) or refuses; nothing is left behind.
    """
    path = directory / f".{os.urandom(6).hex()}.tmp"
    fd = os.open(path, _FLAGS, 0o600)
    try:
        if is_mapped:
            return _prepare_mapped(path, fd, size_bytes, touch)
        if os.write(fd, bytes(HEADER_BYTES)) != HEADER_BYTES:  # records behind half a header would be no slots
            raise OSError(errno.ENOSPC, "the disk took part of a header", str(path))
        return AppendedSegment(path, fd, size_bytes)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _prepare_mapped(path: Path, fd: int, size_bytes: int, touch: bool) -> Segment:
    os.posix_fallocate(fd, 0, size_bytes)
    mapping = mmap.mmap(fd, size_bytes)
    if touch:
        _touch(mapping)
    kind = MappedSegment if _has_gil() else LockedMappedSegment
    return kind(path, fd, size_bytes, mapping)


def _has_gil() -> bool:
    check = getattr(sys, "_is_gil_enabled", None)
    return check is None or bool(check())


def _touch(mapping: mmap.mmap) -> None:
    """Fault pages in, little by little: the call holds the GIL."""
    for start in range(0, len(mapping), _TOUCH_BYTES):
        try:
            mapping.madvise(_POPULATE_WRITE, start, min(_TOUCH_BYTES, len(mapping) - start))
        except (OSError, ValueError):  # an older kernel: the pages fault in one by one later
            return


@dataclass(eq=False)
class _File:
    path: Path
    fd: int
    size_bytes: int
    header: WriterHeader = field(default_factory=lambda: WriterHeader("", ""))
    is_sealed: bool = False
    _name_is_durable: bool = False

    def _name(self, header: WriterHeader, name: str) -> None:
        self.header = header
        target = self.path.with_name(name)
        self.move(target, lambda: os.rename(self.path, target))

    def move(self, target: Path, rename: Callable[[], object]) -> None:
        """Have `rename` move the file to `target`, by itself or with its directory."""
        if CAN_RENAME_OPEN_FILES:
            rename()
            self.path = target
            return
        position = os.lseek(self.fd, 0, os.SEEK_CUR)
        self._close_fd()
        try:
            rename()
            self.path = target
        finally:
            self.fd = os.open(self.path, _FLAGS & ~(os.O_CREAT | os.O_EXCL))
            os.lseek(self.fd, position, os.SEEK_SET)

    def read(self, start: int, end: int) -> bytes:
        if hasattr(os, "pread"):
            return _read_at(self.fd, start, end - start)
        with open(self.path, "rb") as file:  # the descriptor's own position belongs to the writer
            file.seek(start)
            return file.read(end - start)

    def sync(self) -> None:
        if self.fd < 0:
            return  # whoever closed it has synced it, or delivered it
        getattr(os, "fdatasync", os.fsync)(self.fd)
        if not self._name_is_durable:
            sync_directory(self.path.parent)
            self._name_is_durable = True

    def _close_fd(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def _read_at(fd: int, start: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.pread(fd, size, start)):
        parts.append(part)
        start, size = start + len(part), size - len(part)
    return b"".join(parts)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable, where the system can."""
    if os.name != "posix":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class MappedSegment(_File):
    """A segment mapped into memory; `write` is `mmap.write`: copy and advance in one call under the GIL."""

    def __init__(self, path: Path, fd: int, size_bytes: int, mapping: mmap.mmap) -> None:
        super().__init__(path, fd, size_bytes)
        self._mapping = mapping
        self._end = self._mark = 0
        self.write: Callable[[bytes], object] = mapping.write

    def begin(self, header: WriterHeader, name: str) -> None:
        self._mapping.write(encode_header(header))
        self._name(header, name)

    def published(self) -> int:
        if self.is_sealed:
            return self._end
        position = self._mapping.tell()
        # At its end a mapping is full, or being sealed, by another thread or by a call that was interrupted.
        return self._settled_end(self._mark) if position == self.size_bytes and self._mark else position

    def seal(self) -> int:
        if not self.is_sealed:
            position = self._mapping.tell()
            if position < self.size_bytes or not self._mark:  # else an earlier call was interrupted behind its seek
                self._mark = position
            self._mapping.seek(0, os.SEEK_END)  # from here on no write fits
            self._end = self._settled_end(self._mark)
            self.is_sealed = True
        return self._end

    def _settled_end(self, end: int) -> int:
        """What was published between the two calls above, by another thread or a signal handler, counts too."""
        with memoryview(self._mapping) as view:
            while size := record_bytes(view, end):
                end += size
        return end

    def set_dropped(self, count: int) -> None:
        text = encode_dropped(count)
        self._mapping[DROP_SLOT : DROP_SLOT + len(text)] = text

    def unmap(self) -> None:
        with contextlib.suppress(BufferError):  # another thread is looking for its end
            self._mapping.close()

    def close(self) -> None:
        self.seal()
        self.unmap()
        self._close_fd()

    def discard(self) -> None:
        self._mapping.close()
        self._close_fd()
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def abandon(self) -> None:
        self._end, self.is_sealed = self.published(), True
        self.unmap()
        self._close_fd()


class LockedMappedSegment(MappedSegment):
    """A mapped segment for interpreters without a GIL, where `mmap.write` alone is not one step."""

    def __init__(self, path: Path, fd: int, size_bytes: int, mapping: mmap.mmap) -> None:
        super().__init__(path, fd, size_bytes, mapping)
        self._lock = threading.RLock()
        self.write = self._write

    def _write(self, data: bytes) -> None:
        with self._lock:
            self._mapping.write(data)

    def seal(self) -> int:
        with self._lock:
            return super().seal()

    def abandon(self) -> None:
        self._lock = threading.RLock()  # a thread of the parent may have held it
        super().abandon()


class AppendedSegment(_File):
    """A segment written by plain `write(2)`, for file systems that must not be mapped.

    The descriptor's position is the one truth about where the records end: it moves with the write itself, whatever
    signal arrives behind it.
    """

    def __init__(self, path: Path, fd: int, size_bytes: int) -> None:
        super().__init__(path, fd, size_bytes)
        self._lock = threading.RLock()
        self._room = size_bytes - HEADER_BYTES
        self._end = HEADER_BYTES
        self.write: Callable[[bytes], object] = self._write

    @classmethod
    def copy_of(cls, segment: Segment, end: int) -> AppendedSegment:
        """A sealed copy of the first `end` bytes of a sealed segment, in a file that has no name yet."""
        copy = prepare(segment.path.parent, segment.size_bytes, is_mapped=False)
        assert isinstance(copy, AppendedSegment)
        os.lseek(copy.fd, 0, os.SEEK_SET)
        view = memoryview(segment.read(0, end))
        while view:
            view = view[os.write(copy.fd, view) :]
        copy.header = segment.header
        copy.seal()
        return copy

    def begin(self, header: WriterHeader, name: str) -> None:
        os.lseek(self.fd, 0, os.SEEK_SET)
        os.write(self.fd, encode_header(header))
        self._name(header, name)

    def _write(self, data: bytes) -> None:
        with self._lock:
            size = len(data)
            if self.is_sealed or size > self._room:
                raise ValueError("no room")
            written = os.write(self.fd, data)
            self._room -= size  # behind the write: room given up for one that failed would never be found again
            if written != size:
                self._cut_short(written, size)

    def _cut_short(self, written: int, size: int) -> None:
        """A disk that filled up in the middle of a write: end before it, so that all of it counts as dropped.

        A signal handler that logged just behind it has moved the position; its record is behind the torn one, and lost.
        """
        sound = HEADER_BYTES + sound_prefix(self.read(HEADER_BYTES, self.size_bytes), self.header.seed)
        end = self._end = min(sound, os.lseek(self.fd, 0, os.SEEK_CUR) - written)
        self.is_sealed = True
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, end)
        raise OSError(errno.ENOSPC, f"the disk took part of a record of {size} bytes", str(self.path))

    def unmap(self) -> None:
        """Nothing to do."""

    def published(self) -> int:
        return self._end if self.is_sealed else os.lseek(self.fd, 0, os.SEEK_CUR)

    def seal(self) -> int:
        with self._lock:
            if not self.is_sealed:
                self._end = os.lseek(self.fd, 0, os.SEEK_CUR)
                self.is_sealed = True
        return self._end

    def set_dropped(self, count: int) -> None:
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(DROP_SLOT)
            file.write(encode_dropped(count))

    def close(self) -> None:
        with self._lock:
            if self.fd >= 0:
                self.seal()
            self._close_fd()

    def discard(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def abandon(self) -> None:
        self._lock = threading.RLock()  # a thread of the parent may have held it
        self._end, self.is_sealed = self.published(), True
        self._close_fd()
