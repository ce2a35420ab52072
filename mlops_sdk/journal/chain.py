"""The files behind a journal: a chain of segments that grows at one end and is released at the other.

What changes files is here, off the hot path: roll-over, spares, the quota, syncs and the rescue after a failed one. What is
logged is in `mlops_sdk.journal.writer`.

A roll-over may be entered again at any point by a signal handler that logs, or be cut by Ctrl-C: it is done again by the next
call, and no step of it is undone by a second one.

References
----------
.. [1] ``docs/adr/0001-journal-format.md``
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic_ns

from mlops_sdk.journal import liveness
from mlops_sdk.journal.records import HEADER_BYTES, SLOT_BYTES, Batch, Kind, WriterHeader, encode_frame
from mlops_sdk.journal.segment import (
    CAN_RENAME_OPEN_FILES,
    FIRST_BYTES,
    SUFFIX,
    AppendedSegment,
    Segment,
    next_size,
    prepare,
    sync_directory,
)

_SUSPENDED_NS = 1_000_000_000


@dataclass(slots=True)
class JournalOptions:
    """How a journal is written.

    Attributes
    ----------
    is_mapped : bool
        See `mlops_sdk.journal.filesystem`.
    quota_bytes : int
        Bytes of undelivered segments beyond which records are dropped and counted.
    first_bytes : int
        Size of the first segment.
    """

    is_mapped: bool = True
    quota_bytes: int = 4 << 30
    first_bytes: int = FIRST_BYTES


class SegmentChain:
    """The segments of one writer in ``<root>/<writer_id>/``; `Journal` logs to it.

    Parameters
    ----------
    root : Path
    header : WriterHeader
        Of the first segment.
    options : JournalOptions

    Notes
    -----
    `_write` is the bound `write` of the segment in use: what is published goes through it in one call.
    """

    def __init__(self, root: Path, header: WriterHeader, options: JournalOptions) -> None:
        self.options = options
        self.writer_id = header.writer_id
        self.directory = root / self.writer_id
        self.clock_offset_ns = header.clock_offset_ns
        self.dropped = 0
        self.sync_error: OSError | None = None
        self.is_closed = False
        self.is_abandoned = False
        self._seed = header.seed
        self._indexes = itertools.count(1)
        self._lock = threading.RLock()
        self._spare: Segment | None = None
        self._sync_lock = threading.RLock()
        self._synced: dict[Path, int] = {}
        self._distrusted: list[Segment] = []  # a sync of theirs failed
        self._announced_dropped = 0
        self._retry_at = 0.0
        self._suspended_ns = _suspended_ns()
        self._wake: Callable[[], object] = bool
        self._open(root, header)

    def _open(self, root: Path, header: WriterHeader) -> None:
        """Make the directory under another name, lock it, then show it: nobody ever sees it without its lock."""
        hidden = root / f".{self.writer_id}.tmp"
        with contextlib.ExitStack() as undo:
            os.mkdir(hidden, 0o700)
            undo.callback(remove_tree, hidden)
            self._writer_lock = liveness.WriterLock.open(hidden)
            undo.callback(self._writer_lock.close)
            segment = self._prepare(hidden, self.options.first_bytes)
            undo.callback(segment.close)
            segment.begin(header, self._next_name())
            segment.move(self.directory / segment.path.name, lambda: os.rename(hidden, self.directory))
            undo.pop_all()
        self._segments = [segment]
        self._write = segment.write

    # -- segments ------------------------------------------------------------------------------------------------

    @property
    def _segment(self) -> Segment:
        """The segment in use: appending to the list is the one step that changes it."""
        return self._segments[-1]

    def _next_name(self) -> str:
        return f"{next(self._indexes):08d}{SUFFIX}"

    def _roll(self, need: int, *, force: bool = False) -> None:
        """Go on in a new segment.

        A signal handler that logs may enter this method again at any point: whoever publishes a segment first wins, the
        other one throws its own away. Names are never used twice, so that no file is overwritten.
        """
        old = self._segment
        if not force and not old.is_sealed and old.size_bytes - old.published() >= need:
            self._write = old.write  # another thread has rolled over, or a call that was interrupted before this line
            return
        self._check_quota()
        new = self._take_spare(need)
        try:
            self._begin(new, old)
        except BaseException:
            new.discard()
            raise
        # No handler runs between this test and the end of the append: the interpreter looks for signals behind calls.
        if self._segments[-1] is not old:
            new.discard()
            return
        self._segments.append(new)
        self._write = self._segments[-1].write  # not `new`: a handler that ran behind the append may have gone further
        for done in self._segments[-3:-2]:  # not `old`: the call that a handler interrupted may be sealing it
            done.unmap()
        self._announce_dropped()
        self._wake()

    def _begin(self, new: Segment, old: Segment) -> None:
        """End `old` and have `new` go on behind it."""
        first = old.header.first + (old.seal() - HEADER_BYTES) // SLOT_BYTES
        index = int((name := self._next_name()).removesuffix(SUFFIX))
        new.begin(replace(old.header, first=first, index=index, clock_offset_ns=self.clock_offset_ns), name)
        if self.dropped:
            new.set_dropped(self.dropped)

    def _announce_dropped(self) -> None:
        """Say in a record how many were dropped. Until one fits, the header alone has the count."""
        total = self.dropped
        if total > self._announced_dropped:
            with contextlib.suppress(OSError, ValueError):
                self._write(encode_frame(Kind.DROPPED, monotonic_ns(), {"total": total}, self._seed))
                self._announced_dropped = total

    def _take_spare(self, need: int) -> Segment:
        spare, self._spare = self._spare, None
        if spare is not None and spare.size_bytes - HEADER_BYTES >= need + SLOT_BYTES * 4:
            return spare
        if spare is not None:
            spare.discard()
        least = HEADER_BYTES + need + SLOT_BYTES * 4
        size = next_size(self._segment.size_bytes)
        while size < least:
            size *= 2
        return self._prepare_what_fits(size, max(least, self.options.first_bytes))

    def _prepare_what_fits(self, size_bytes: int, least_bytes: int, *, touch: bool = False) -> Segment:
        """A segment of that size, or of the largest half, quarter, ... for which a nearly full disk has room."""
        while True:
            try:
                return self._prepare(self.directory, size_bytes, touch=touch)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or size_bytes // 2 < least_bytes:
                    raise
            size_bytes //= 2

    def _prepare(self, directory: Path, size_bytes: int, *, touch: bool = False) -> Segment:
        return prepare(directory, size_bytes, is_mapped=self.options.is_mapped, touch=touch)

    def _check_quota(self) -> None:
        used = sum(segment.size_bytes for segment in self._segments)
        if used + next_size(self._segment.size_bytes) > self.options.quota_bytes:
            raise OSError(0, f"the quota of {self.options.quota_bytes} bytes for undelivered records is used up")

    # -- for the courier -----------------------------------------------------------------------------------------

    def on_roll(self, wake: Callable[[], object]) -> None:
        """Have `wake` called after each roll-over, so that a spare is ready for the next."""
        self._wake = wake

    def prepare_spare(self) -> None:
        """Have a segment ready for the next roll-over, its pages faulted in; off the hot path.

        Raises
        ------
        OSError
            If the disk has no room.
        """
        current = self._segment
        if self._spare is not None or self._is_over or current.published() * 2 <= current.size_bytes:
            return
        spare = self._prepare_what_fits(next_size(current.size_bytes), self.options.first_bytes, touch=True)
        with self._lock:
            if not self._is_over:
                self._spare = spare
                return
        spare.discard()

    def _discard_spare(self) -> None:
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.discard()

    @property
    def _is_over(self) -> bool:
        return self.is_closed or self.is_abandoned

    @property
    def last(self) -> int:
        """Sequence number of the newest slot, 0 when there is none."""
        segment = self._segment
        return segment.header.first - 1 + (segment.published() - HEADER_BYTES) // SLOT_BYTES

    def batch_after(self, sequence: int) -> Batch | None:
        """The records behind `sequence`, up to the end of the segment they begin in; None when there are none."""
        with self._lock:
            segments = list(self._segments)
        for segment in segments:
            end = segment.published()
            start = HEADER_BYTES + (sequence + 1 - segment.header.first) * SLOT_BYTES
            if HEADER_BYTES <= start < end:
                return Batch(segment.header, sequence + 1, segment.read(start, end))
        return None

    def release(self, sequence: int) -> None:
        """Remove the segments that hold nothing behind `sequence`, except the one in use."""
        if self.is_abandoned:
            return
        with self._lock:
            done = [s for s in self._segments if s is not self._segment and _last(s) <= sequence]
            for segment in done:
                self._segments.remove(segment)
        for segment in done:
            self._synced.pop(segment.path, None)
            segment.discard()

    def sync(self) -> None:
        """Make every published record durable.

        Raises
        ------
        OSError
            If the disk refused, and refused the rescue to a new file too: `sync_error` is kept, logging goes on.

        Notes
        -----
        After a failed sync the kernel may have forgotten which pages were not written, so a second try on the same file
        proves nothing: the records are written to a new file instead.
        """
        if self.is_abandoned:
            return
        with self._sync_lock:  # two threads must not rescue the same segment
            for segment in list(self._segments):
                if segment in self._segments:  # else a signal handler has rescued it meanwhile
                    self._sync_one(segment)

    def _sync_one(self, segment: Segment) -> None:
        end = segment.published()
        if self._synced.get(segment.path) == end:
            return
        if segment not in self._distrusted:
            try:
                segment.sync()
            except OSError as error:
                self.sync_error = error
                self._distrusted.append(segment)
        if segment in self._distrusted:
            end = self._rescue(segment)
        self._synced[segment.path] = end

    def _rescue(self, segment: Segment) -> int:
        """Have a new file in the place of one that could not be synced; returns where its records end."""
        with self._lock:
            if segment is self._segment and not self.is_closed:
                self._roll(0, force=True)
        end = segment.seal()
        copy = AppendedSegment.copy_of(segment, end)
        try:
            copy.sync()
            if not CAN_RENAME_OPEN_FILES:
                segment.close()
            copy.move(segment.path, lambda: os.replace(copy.path, segment.path))
        except BaseException:
            copy.discard()
            raise
        sync_directory(self.directory)
        with self._lock:
            self._segments[self._segments.index(segment)] = copy
        self._distrusted.remove(segment)
        segment.close()
        return end

    def reanchor(self) -> bool:
        """After the machine was suspended, go on in a segment with the wall time of now; returns whether it was."""
        suspended = _suspended_ns()
        if suspended - self._suspended_ns < _SUSPENDED_NS:
            return False
        with self._lock:
            if self._is_over:
                return False
            self.clock_offset_ns += suspended - self._suspended_ns
            self._suspended_ns = suspended
            self._roll(0, force=True)
        return True

    def retry_room(self) -> None:
        """When records are being dropped, try for a new segment now; quiet when there is still no room."""
        with self._lock, contextlib.suppress(OSError):
            if self._segment.is_sealed and not self._is_over:
                self._roll(0)
                self._retry_at = 0.0


def remove_tree(directory: Path) -> None:
    """Delete a directory, as far as it can be."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


def _last(segment: Segment) -> int:
    return segment.header.first - 1 + (segment.published() - HEADER_BYTES) // SLOT_BYTES


def _suspended_ns() -> int:
    """How long the machine has been suspended since boot, 0 where the system does not tell."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - monotonic_ns()
