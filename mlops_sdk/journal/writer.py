"""The logging side of a journal.

`Journal.point` is the hot path: look the key up, pack, checksum, publish in one call. Everything rare (a new key, a full
segment, a full disk, a closed journal) happens in `_publish`, which the hot path reaches only by an exception.

The code holds under threads, signal handlers that log, and Ctrl-C at any instruction: records are published by one C call,
numbers follow from positions, and a roll-over that was interrupted is simply done again by the next call. The files behind it
are `mlops_sdk.journal.chain`'s.

References
----------
.. [1] ``docs/adr/0001-journal-format.md``
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING
from zlib import crc32

from mlops_sdk import _forking
from mlops_sdk.errors import StateError, StoreUnavailableError
from mlops_sdk.journal import liveness
from mlops_sdk.journal.chain import JournalOptions, SegmentChain, remove_tree
from mlops_sdk.journal.records import (
    SLOT_BYTES,
    Kind,
    WriterHeader,
    encode_frame,
    pack_body,
    pack_slot,
)

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_RETRY_S = 0.1
_LOCK_S = 0.5
_MAX_POINTS = 30_000
"""Points published by one write; more would not fit into a segment."""

_live: weakref.WeakSet[Journal] = weakref.WeakSet()


class JournalClosedError(StateError):
    """The journal was closed; the run is over."""


class JournalAbandonedError(StateError):
    """The journal belongs to the parent process of this fork."""


class JournalFullError(StoreUnavailableError):
    """Records were dropped, and counted: no disk space, or the quota is used up."""


class Journal(SegmentChain):
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
        self.run_id = run_id
        self._ids: dict[str, int] = {}
        self._tops: dict[str, int] = {}
        self._last_steps = last_steps or {}
        self._key_ids = itertools.count(1)
        who = asdict(liveness.identity())
        offset = time.time_ns() - monotonic_ns()
        header = WriterHeader(run_id, os.urandom(16).hex(), clock_offset_ns=offset, role=role, rank=rank, **who)
        super().__init__(root, header, options or JournalOptions())
        _live.add(self)

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

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Refuse further records; what is there can still be read and released. Idempotent.

        Notes
        -----
        Asks nothing of the disk, which may hang: the spare goes when the journal is removed or left.
        """
        self.is_closed = True
        is_mine = self._lock.acquire(timeout=_LOCK_S)  # the courier may be in a roll-over, on a disk that hangs
        try:
            self._segment.seal()
        finally:
            if is_mine:
                self._lock.release()

    def remove(self) -> None:
        """Delete the journal: everything in it is durable elsewhere."""
        self.close()
        if self.is_abandoned:
            return
        self._discard_spare()
        for segment in self._segments:
            segment.close()
        _live.discard(self)
        hidden = self.directory.with_name(f".{self.writer_id}.tmp")  # nobody looks into it while it is deleted
        with contextlib.suppress(OSError):
            os.rename(self.directory, hidden)
        remove_tree(hidden)
        self._writer_lock.close()

    def leave(self) -> None:
        """Close, let go of the lock and leave the files for whoever delivers them later; a failed sync is kept."""
        self.close()
        self._discard_spare()
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


def _refuse(_data: bytes) -> object:
    raise ValueError("abandoned")


def _abandon_all() -> None:
    for journal in list(_live):
        journal.abandon()
    _live.clear()


_forking.watch(_forking.JOURNAL, after_in_child=_abandon_all)
