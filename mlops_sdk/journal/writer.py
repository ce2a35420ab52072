"""The logging side of a journal.

`Journal.point` is the hot path: look the key up, pack, checksum, publish in one call. Everything rare (a new key, a full
segment, a full disk, a closed journal) happens in `_publish`, which the hot path reaches only by an exception.

The code holds under threads, signal handlers that log, and Ctrl-C at any instruction: records are published by one C call,
numbers follow from positions, and a roll-over that was interrupted is simply done again by the next call.

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
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING
from zlib import crc32

from mlops_sdk import _forking
from mlops_sdk.errors import StateError, StoreUnavailableError
from mlops_sdk.journal import liveness
from mlops_sdk.journal.records import (
    HEADER_BYTES,
    SLOT_BYTES,
    Batch,
    Kind,
    WriterHeader,
    encode_frame,
    pack_body,
    pack_slot,
)
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

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_RETRY_S = 0.1
_MAX_POINTS = 30_000
"""Points published by one write; more would not fit into a segment."""
_SUSPENDED_NS = 1_000_000_000

_live: weakref.WeakSet[Journal] = weakref.WeakSet()


class JournalClosedError(StateError):
    """The journal was closed; the run is over."""


class JournalAbandonedError(StateError):
    """The journal belongs to the parent process of this fork."""


class JournalFullError(StoreUnavailableError):
    """Records were dropped, and counted: no disk space, or the quota is used up."""


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


class Journal:
    """One writer's journal: its segments in ``<root>/<writer_id>/``.

    Parameters
    ----------
    root : Path
        The store's ``journals`` directory; must exist.
    run_id : str
    role : {"owner", "attached", "editor"}
    rank : int, optional
    options : JournalOptions
    last_steps : mapping of str to int, optional
        Highest step per key so far, for a run that goes on.

    Raises
    ------
    OSError
        If the directory cannot be written.

    Notes
    -----
    A record survives the death of the process once the call that logged it has returned, and a power cut once `sync`
    has. Thread-safe; usable from signal handlers. In a forked child every call raises `JournalAbandonedError`.
    """

    def __init__(
        self,
        root: Path,
        run_id: str,
        *,
        role: str = "owner",
        rank: int | None = None,
        options: JournalOptions | None = None,
        last_steps: Mapping[str, int] | None = None,
    ) -> None:
        self.options = options or JournalOptions()
        self.writer_id = os.urandom(16).hex()
        self.run_id = run_id
        self.directory = root / self.writer_id
        self.dropped = 0
        self.sync_error: OSError | None = None
        self.is_closed = False
        self.is_abandoned = False
        self._ids: dict[str, int] = {}
        self._tops: dict[str, int] = {}
        self._last_steps = last_steps or {}
        self._key_ids = itertools.count(1)
        self._indexes = itertools.count(1)
        self._lock = threading.RLock()
        self._spare: Segment | None = None
        self._sync_lock = threading.RLock()
        self._synced: dict[Path, int] = {}
        self._distrusted: list[Segment] = []  # a sync of theirs failed
        self._announced_dropped = 0
        self._retry_at = 0.0
        self._suspended_ns = _suspended_ns()
        who = asdict(liveness.identity())
        offset = time.time_ns() - monotonic_ns()
        header = WriterHeader(run_id, self.writer_id, clock_offset_ns=offset, role=role, rank=rank, **who)
        self._seed = header.seed
        self.clock_offset_ns = offset
        self._wake: Callable[[], object] = bool
        self._open(root, header)
        _live.add(self)

    def _open(self, root: Path, header: WriterHeader) -> None:
        """Make the directory under another name, lock it, then show it: nobody ever sees it without its lock."""
        hidden = root / f".{self.writer_id}.tmp"
        with contextlib.ExitStack() as undo:
            os.mkdir(hidden, 0o700)
            undo.callback(_remove_tree, hidden)
            self._writer_lock = liveness.WriterLock.open(hidden)
            undo.callback(self._writer_lock.close)
            segment = self._prepare(hidden, self.options.first_bytes)
            undo.callback(segment.close)
            segment.begin(header, self._next_name())
            segment.move(self.directory / segment.path.name, lambda: os.rename(hidden, self.directory))
            undo.pop_all()
        self._segments = [segment]
        self._write = segment.write

    # -- logging -------------------------------------------------------------------------------------------------

    def point(self, key: str, value: float, step: int | None = None) -> None:
        """Log one metric point, stamped now.

        Parameters
        ----------
        key : str
            Checked the first time it is seen, by the caller.
        value : float
        step : int, optional
            By default 1 + the highest step of the key by this writer, 0 at first.

        Raises
        ------
        KeyError
            If the key is new: call `define` first.
        struct.error
            If the step is not an integer of 64 bits, or the value not a number; nothing was logged.
        JournalFullError, JournalClosedError, JournalAbandonedError
        """
        key_id = self._ids[key]
        if step is None:
            self._tops[key] = step = self._tops[key] + 1
        body = pack_body(key_id, monotonic_ns(), step, value)
        record = pack_slot(body, crc32(body, self._seed))
        try:
            self._write(record)
        except (ValueError, OSError):
            self._publish(record)
        if step > self._tops[key]:  # not max(): where there is a call, another thread can run
            self._tops[key] = step

    def points(self, values: Mapping[str, float], step: int | None = None, time: int | None = None) -> None:
        """Log several points of one step at once: all of them or none, while they are at most 30,000.

        Parameters
        ----------
        values : mapping of str to float
        step : int, optional
            By default 1 + the highest step of any of these keys by this writer, 0 at first.
        time : int, optional
            Wall time in nanoseconds; default now.

        Raises
        ------
        KeyError, struct.error, JournalFullError, JournalClosedError, JournalAbandonedError
            As `point`.
        """
        ids, tops, seed = self._ids, self._tops, self._seed
        if step is None:
            step = self._claim_step(values)
        now = monotonic_ns() if time is None else time - self.clock_offset_ns
        records = []
        for key, value in values.items():
            body = pack_body(ids[key], now, step, value)
            records.append(pack_slot(body, crc32(body, seed)))
            if step > tops[key]:  # as in `point`
                tops[key] = step
        if len(records) > _MAX_POINTS:
            self._publish_many(records)
            return
        data = b"".join(records)
        try:
            self._write(data)
        except (ValueError, OSError):
            self._publish(data)

    def _claim_step(self, keys: Iterable[str]) -> int:
        """1 + the highest step of `keys`, taken for all of them, or a higher one if another thread was quicker."""
        tops = self._tops
        while True:
            step = 1 + max([tops[key] for key in keys], default=-1)
            for key in keys:
                if tops[key] >= step:
                    break
                tops[key] = step  # no other thread can run between the comparison and this
            else:
                return step

    def _publish_many(self, records: list[bytes]) -> None:
        full: JournalFullError | None = None
        for start in range(0, len(records), _MAX_POINTS):
            try:
                self._publish(b"".join(records[start : start + _MAX_POINTS]))
            except JournalFullError as error:  # the rest is tried too, so that what is dropped is counted
                full = error
        if full is not None:
            raise full

    def knows(self, key: str) -> bool:
        """Whether `define` was called for `key`."""
        return key in self._ids

    def highest_steps(self) -> dict[str, int]:
        """The highest step of each metric so far, copied."""
        return dict(self._tops)

    def define(self, key: str) -> None:
        """Give a metric name its number in this journal; idempotent."""
        with self._lock:
            if key in self._ids:
                return
            key_id = next(self._key_ids)
            self.event(Kind.KEY, {"id": key_id, "name": key})
            self._tops.setdefault(key, self._last_steps.get(key, -1))
            self._ids[key] = key_id  # last: from here on `point` finds it

    def event(self, kind: int, payload: JsonDict) -> None:
        """Log a framed record, stamped now.

        Raises
        ------
        ValueError
            If the record is longer than fits; nothing was logged.
        JournalFullError, JournalClosedError, JournalAbandonedError
        """
        self._publish(encode_frame(kind, monotonic_ns(), payload, self._seed))

    def _publish(self, data: bytes) -> None:
        """Publish, rolling over where there is no room."""
        while True:
            try:
                self._write(data)
            except ValueError:
                self._make_room(data)
            except OSError as error:  # appended: the disk is full or gone
                self._retry_at = time.monotonic() + _RETRY_S
                self._drop(data, error)
            else:
                return

    def _make_room(self, data: bytes) -> None:
        with self._lock:
            if self.is_abandoned:
                raise JournalAbandonedError("this journal belongs to the parent process")
            if self.is_closed:
                raise JournalClosedError("the journal is closed")
            if time.monotonic() < self._retry_at:
                self._drop(data, None)
            try:
                self._roll(len(data))
            except OSError as error:
                self._retry_at = time.monotonic() + _RETRY_S
                self._drop(data, error)

    def _drop(self, data: bytes, error: OSError | None) -> None:
        """Count what could not be kept, where the count survives too."""
        slots = len(data) // SLOT_BYTES
        with self._lock:
            self._segment.seal()
            self.dropped += slots  # no call in this line: a handler between reading and adding would be uncounted
            kept = -1
            with contextlib.suppress(OSError, ValueError):
                while kept != self.dropped:  # a handler may have dropped more meanwhile
                    kept = self.dropped
                    self._segment.set_dropped(kept)
        why = f": {error.strerror or error}" if error else ""
        raise JournalFullError(
            f"no room for the journal in {self.directory.parent}{why}; records are dropped and counted until there is"
        )

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

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Refuse further records; what is there can still be read and released. Idempotent."""
        with self._lock:
            self.is_closed = True
            self._segment.seal()
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.discard()

    def remove(self) -> None:
        """Delete the journal: everything in it is durable elsewhere."""
        self.close()
        if self.is_abandoned:
            return
        for segment in self._segments:
            segment.close()
        _live.discard(self)
        hidden = self.directory.with_name(f".{self.writer_id}.tmp")  # nobody looks into it while it is deleted
        with contextlib.suppress(OSError):
            os.rename(self.directory, hidden)
        _remove_tree(hidden)
        self._writer_lock.close()

    def leave(self) -> None:
        """Close, let go of the lock and leave the files for whoever delivers them later; a failed sync is kept."""
        self.close()
        for segment in self._segments:
            try:
                segment.sync()
            except OSError as error:
                self.sync_error = error
            segment.close()
        _live.discard(self)
        self._writer_lock.close()

    def abandon(self) -> None:
        """In a forked child: drop the parent's files without a trace."""
        self._lock, self._sync_lock = threading.RLock(), threading.RLock()
        self.is_abandoned = True
        self._write = _refuse
        spare, self._spare = self._spare, None
        for segment in [*self._segments, *([spare] if spare else [])]:
            segment.abandon()
        self._writer_lock.close()


def _remove_tree(directory: Path) -> None:
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


def _refuse(_data: bytes) -> object:
    raise ValueError("abandoned")


def _last(segment: Segment) -> int:
    return segment.header.first - 1 + (segment.published() - HEADER_BYTES) // SLOT_BYTES


def _suspended_ns() -> int:
    """How long the machine has been suspended since boot, 0 where the system does not tell."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - monotonic_ns()


def _abandon_all() -> None:
    for journal in list(_live):
        journal.abandon()
    _live.clear()


_forking.watch(_forking.JOURNAL, after_in_child=_abandon_all)
