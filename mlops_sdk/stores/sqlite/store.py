"""`SQLiteStore`: the store protocol over one SQLite file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.errors import MlopsError, StoreCorruptError, StoreUnavailableError
from mlops_sdk.journal.records import decode
from mlops_sdk.stores.sqlite import points
from mlops_sdk.stores.sqlite.append import apply_batch, check_header
from mlops_sdk.stores.sqlite.connection import checkpoint_fully
from mlops_sdk.stores.sqlite.database import Database

if TYPE_CHECKING:
    import sqlite3

    from mlops_sdk.conditions import FieldKind
    from mlops_sdk.entities import (
        Experiment,
        MetricSeries,
        Part,
        RunHead,
        RunParts,
        RunQuery,
        WriterState,
    )
    from mlops_sdk.journal.records import Batch, Decoded
    from mlops_sdk.stores.sqlite.check import Problem
    from mlops_sdk.stores.sqlite.maintenance import BackupReport, GcReport, Rejected, Stats

_log = logging.getLogger("mlops_sdk")
_WORTH_FREEING_BYTES = 1 << 20
_WORTH_FREEING_SHARE = 0.125


class SQLiteStore:
    """Runs in ``store.db`` of a directory, artifacts in ``blobs/`` beside it.

    Parameters
    ----------
    directory : path-like
        Usually ``.mlops``; made when something is first written.
    read_only : bool
        Never make, migrate or write anything.
    wal : bool
        Use a write-ahead log. False on network file systems, where its shared memory does not work: a rollback journal is
        slower and keeps readers waiting while somebody writes.
    timeout_s : float
        How long a write waits for other writers.

    Attributes
    ----------
    uri : str
        The directory.
    store_id : str
        "" until the database was opened.
    is_remote : bool
        False.
    blobs : LocalBlobs

    Notes
    -----
    Making the object touches nothing; the database is opened, made or migrated by the first call that needs it. Any number
    of processes and threads may use one store at once. Connections are closed before a fork; in the child, too, the first
    call opens what it needs.

    References
    ----------
    .. [1] ``docs/adr/0003-sqlite-store.md``, ``docs/storage-schema.md``
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, read_only: bool = False, wal: bool = True, timeout_s: float = 30.0
    ) -> None:
        self.database = Database(Path(directory), read_only=read_only, wal=wal, timeout_s=timeout_s)
        self.uri = str(self.database.directory)
        self.is_remote = False
        self.blobs = LocalBlobs(self.database.directory / "blobs")
        self._not_compacted: set[int] = set()

    def __repr__(self) -> str:
        return f"SQLiteStore({self.uri!r})"

    @property
    def directory(self) -> Path:
        """Where the store is."""
        return self.database.directory

    @property
    def store_id(self) -> str:
        """Random, made with the store; opens it when it was not opened yet."""
        if not self.database.store_id:
            self.open()
        return self.database.store_id

    @store_id.setter
    def store_id(self, value: str) -> None:
        raise AttributeError("the id of a store is made with it")

    def open(self) -> None:
        """Open the database now: make it or bring its schema up to date, where that is needed.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError
        StoreVersionError
            If a newer version of the package made it; it was not touched.
        ForeignStoreError
            If it is not ours; it was not touched.
        """
        with self.database.reading():
            pass

    # -- writing -------------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> int:
        """Apply one writer's batch of records, all of them or none: see `Store.append`.

        Raises
        ------
        SequenceGapError
            Also when the database was removed or replaced and knows less than it had acknowledged.
        StoreCorruptError, StoreUnavailableError, StoreVersionError, ForeignStoreError
        """
        check_header(batch.writer)
        decoded = decode(batch)
        with self.database.writing() as connection:
            applied = apply_batch(connection, batch, decoded)
            is_due = applied.run is not None and points.is_due(connection, applied.run)
        if is_due and applied.run is not None:
            self._compact_quietly(applied.run)
        return applied.sequence

    def append_all(self, batches: Sequence[Batch]) -> list[int | Exception]:
        """Apply batches of several writers in one transaction, so that they share its fsync.

        Parameters
        ----------
        batches : sequence of Batch

        Returns
        -------
        list of int or Exception
            For each batch what `append` returns or would have raised; one that is refused changes nothing for the others.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError, StoreVersionError, ForeignStoreError
            If the transaction failed: nothing of any batch is stored.
        """
        decoded = [_checked_or_error(batch) for batch in batches]
        due: set[int] = set()
        outcomes: list[int | Exception] = []
        with self.database.writing() as connection:
            for batch, content in zip(batches, decoded, strict=True):
                if isinstance(content, Exception):
                    outcomes.append(content)
                    continue
                connection.execute("SAVEPOINT batch")
                try:
                    applied = apply_batch(connection, batch, content)
                except MlopsError as error:
                    connection.execute("ROLLBACK TO batch")
                    outcomes.append(error)
                else:
                    outcomes.append(applied.sequence)
                    if applied.run is not None and points.is_due(connection, applied.run):
                        due.add(applied.run)
                connection.execute("RELEASE batch")
        for run in due:
            self._compact_quietly(run)
        return outcomes

    def _compact_quietly(self, run: int) -> None:
        """Compact after an append: the batch is stored, so that trouble here is no trouble of its writer."""
        if run in self._not_compacted:
            return
        try:
            with self.database.writing() as connection:
                points.compact(connection, run, final=False)
        except StoreUnavailableError as error:
            _log.debug("mlops_sdk: compaction is put off: %s", error)
        except StoreCorruptError as error:
            self._not_compacted.add(run)
            _log.warning("mlops_sdk: %s", error)

    def compact(self, run_id: str, *, final: bool = False) -> None:
        """Bring the points of a run into fewer and denser rows; what is read stays the same.

        Parameters
        ----------
        run_id : str
        final : bool
            The run has ended: merge everything that is worth it.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError
        """
        with self.database.writing() as connection:
            row = connection.execute("SELECT id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is not None:
                points.compact(connection, row[0], final=final)

    def settle(self, run_id: str) -> None:
        """A writer of the run has ended: compact the run, and leave one clean file when nobody else is at it.

        Raises
        ------
        StoreUnavailableError
            If it was not the moment; nothing is lost.
        """
        try:
            self.compact(run_id, final=True)
        except StoreCorruptError as error:
            _log.warning("mlops_sdk: %s", error)
        with self.database.exclusive() as connection:
            if _is_worth_freeing(connection):
                _free_pages(connection)
            checkpoint_fully(connection)
        self.database.rest()

    def reclaim(self) -> int:
        """Give all free pages of the database back to the file system; returns the bytes.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError
        """
        with self.database.exclusive() as connection:
            before = self.database.path.stat().st_size
            _free_pages(connection)
            checkpoint_fully(connection)
            return max(0, before - self.database.path.stat().st_size)

    # -- reading -------------------------------------------------------------------------------------------------

    def acknowledged(self, writer_id: str) -> WriterState | None:
        """See `Store.acknowledged`."""
        from mlops_sdk.stores.sqlite.read import read_writer

        with self.database.reading(f"writer {writer_id}") as connection:
            return read_writer(connection, writer_id)

    def find(self, query: RunQuery) -> list[RunHead]:
        """See `Store.find`.

        Raises
        ------
        InvalidValueError
            If it cannot be ordered or searched by that.
        QueryTimeoutError
        """
        from mlops_sdk.stores.sqlite.find import find_runs

        with self.database.reading("table runs") as connection:
            return find_runs(connection, query)

    def keys(self, kind: FieldKind) -> list[str]:
        """See `Store.keys`."""
        from mlops_sdk.stores.sqlite.keys import read_keys

        with self.database.reading(f"keys of {kind}") as connection:
            return read_keys(connection, kind)

    def load(self, run_ids: Sequence[str], parts: Sequence[Part]) -> dict[str, RunParts]:
        """See `Store.load`.

        Raises
        ------
        InvalidValueError
            If there is no such part.
        """
        from mlops_sdk.stores.sqlite.read import read_parts

        with self.database.reading(f"{', '.join(parts)} of {_some(run_ids)}") as connection:
            return read_parts(connection, run_ids, parts)

    def series(
        self, run_id: str, key: str, *, rank: int | str | None = None, attempt: int | str | None = None
    ) -> MetricSeries:
        """See `Store.series`."""
        from mlops_sdk.stores.sqlite.history import read_series

        with self.database.reading(f"metric {key!r} of run {run_id}") as connection:
            return read_series(connection, run_id, key, rank=rank, attempt=attempt)

    def experiments(self, *, deleted: bool | None = False) -> list[Experiment]:
        """See `Store.experiments`."""
        from mlops_sdk.stores.sqlite.read import read_experiments

        with self.database.reading("table experiments") as connection:
            return read_experiments(connection, deleted=deleted)

    # -- housekeeping --------------------------------------------------------------------------------------------

    def gc(
        self,
        *,
        before_ns: int | None = None,
        referenced: Iterable[str] | Callable[[], Iterable[str]] = (),
        grace_s: float = 86400.0,
    ) -> GcReport:
        """Delete for good what is in the trash, and artifacts' bytes that nothing refers to.

        Parameters
        ----------
        before_ns : int, optional
            Only runs deleted before this time.
        referenced : iterable of str, or callable that returns one
            SHA-256 digests that journals still refer to.
        grace_s : float
            Bytes stored within so many seconds are kept: the record that refers to them may be on its way.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError
        """
        from mlops_sdk.stores.sqlite.maintenance import collect

        return collect(self, before_ns=before_ns, referenced=referenced, grace_s=grace_s)

    def fsck(self, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
        """Check everything; returns what is wrong, with its place and what to do. Changes nothing.

        Parameters
        ----------
        progress : callable, optional
            Called with (done, total) steps.

        Raises
        ------
        StoreUnavailableError
        """
        from mlops_sdk.stores.sqlite.check import check

        return check(self, progress)

    def backup(self, target: str | os.PathLike[str]) -> BackupReport:
        """Copy the store as it is now into the directory `target`, and check the copy. Writers may go on meanwhile.

        Raises
        ------
        InvalidValueError
            If there is a store at `target` already.
        StoreUnavailableError, StoreCorruptError
        """
        from mlops_sdk.stores.sqlite.maintenance import back_up

        return back_up(self, Path(target))

    def stats(self) -> Stats:
        """Counts and sizes, for `mlops doctor`."""
        from mlops_sdk.stores.sqlite.maintenance import read_stats

        return read_stats(self)

    def rejected(self, limit: int = 100) -> list[Rejected]:
        """Records that were acknowledged and could not be applied, newest first, with the reason."""
        from mlops_sdk.stores.sqlite.maintenance import read_rejected

        return read_rejected(self, limit)

    def close(self) -> None:
        """Close every connection; idempotent. The next call opens what it needs."""
        self.database.rest()


def _checked_or_error(batch: Batch) -> Decoded | MlopsError:
    try:
        check_header(batch.writer)
        return decode(batch)
    except MlopsError as error:
        return error


def _free_pages(connection: sqlite3.Connection) -> None:
    # a script, for `execute` takes one step only of a statement without columns: one page
    connection.executescript("PRAGMA incremental_vacuum")


def _is_worth_freeing(connection: sqlite3.Connection) -> bool:
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (total,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return bool(free * page_bytes > _WORTH_FREEING_BYTES or free > total * _WORTH_FREEING_SHARE)


def _some(run_ids: Sequence[str]) -> str:
    return f"run {run_ids[0]}" if len(run_ids) == 1 else f"{len(run_ids)} runs"
