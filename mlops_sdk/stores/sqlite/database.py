"""One database file and its connections in this process.

One connection writes, by one thread at a time and under the store's lock. Readers take a connection of their own, so that
a long read never waits for a write.

Notes
-----
Connections must not be carried over a fork: SQLite keeps its locks per process and file, so that a database which the
child opens anew would share lock states that the child does not hold, and other processes would delete the log under it.
Connections are therefore closed before a fork and opened again when they are next needed.

References
----------
.. [1] https://www.sqlite.org/howtocorrupt.html, section 2.6
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from mlops_sdk import _forking
from mlops_sdk.errors import StoreUnavailableError
from mlops_sdk.stores.sqlite import directory as directories
from mlops_sdk.stores.sqlite.connection import open_reader, open_writer, version_of, wal_bytes
from mlops_sdk.stores.sqlite.creation import make
from mlops_sdk.stores.sqlite.faults import translated
from mlops_sdk.stores.sqlite.lock import locked
from mlops_sdk.stores.sqlite.schema import SCHEMA_VERSION

CHECKPOINT_BYTES = 4 << 20
_READERS_KEPT = 4
_FORK_WAIT_S = 1.0

FileId = tuple[int, int]


class Database:
    """The file ``store.db`` of a directory.

    Parameters
    ----------
    directory : Path
    read_only : bool
        Never make, migrate or write anything.
    wal : bool
        Use a write-ahead log. Not on a network file system: its shared memory works on one machine only.
    timeout_s : float
        How long a write waits for others.

    Attributes
    ----------
    store_id : str
        Of the database opened last; "" before.

    Notes
    -----
    Thread-safe. Opens nothing before it is needed.
    """

    def __init__(self, directory: Path, *, read_only: bool, wal: bool, timeout_s: float) -> None:
        self.directory = Path(os.path.abspath(directory))  # the program may change its working directory later
        self.path = self.directory / "store.db"
        self.read_only = read_only
        self.wal = wal
        self.timeout_s = timeout_s
        self.store_id = ""
        self._writer: sqlite3.Connection | None = None
        self._writer_file: FileId | None = None
        self._checkpointed_bytes = 0
        self._readers: list[tuple[FileId, sqlite3.Connection]] = []
        self._n_reading = 0
        self._mutex = threading.Lock()  # the writer's
        self._pool_mutex = threading.Lock()
        self._pid = os.getpid()
        _databases.add(self)

    def __del__(self) -> None:
        # Python 3.13 warns of a connection that ends unclosed; one that a fork brought along must stay open: see above
        if getattr(self, "_pid", None) == os.getpid():
            self._close_all()

    # -- writing -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """The writing connection, outside of a transaction, while nobody else writes.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError, StoreVersionError, ForeignStoreError
        """
        self._check_process()
        if self.read_only:
            raise StoreUnavailableError(f"{self.path} was opened for reading only: open it with read_only=False")
        with translated(self.path), self._alone():
            mode = directories.prepare(self.directory)
            with locked(self.directory / "store.lock", timeout_s=self.timeout_s, mode=mode):
                try:
                    yield self._current_writer(mode)
                except sqlite3.Error:
                    self._drop_writer()  # whatever state it is in, the next one begins with the file's
                    raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: durable when the block has ended, undone when it raises."""
        with self.exclusive() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._check_same(connection)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise
            self._checkpoint_when_large(connection)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        # bounded: a signal handler may have interrupted the very thread that holds it
        if not self._mutex.acquire(timeout=self.timeout_s):
            raise StoreUnavailableError(f"{self.path}: another thread has been writing for {self.timeout_s:g} s")
        try:
            yield
        finally:
            self._mutex.release()

    def _current_writer(self, mode: int) -> sqlite3.Connection:
        """The writing connection to the file that stands there now, which may not be the one opened before."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            make(self.path, mode, wal=self.wal)
        elif mode == directories.PRIVATE_FILE:
            directories.refuse_somebody_elses(self.path)
        file_id = _file_id(self.path)
        if self._writer is None or self._writer_file != file_id:
            self._drop_writer()
            self._writer = self._new_writer()
            self._writer_file, self._checkpointed_bytes = file_id, 0
        return self._writer

    def _new_writer(self) -> sqlite3.Connection:
        if not self.wal:
            with self._pool_mutex:
                self._close_readers()  # they would hold the file in the journal mode that it had
        connection = open_writer(self.path, wal=self.wal)
        try:
            if version_of(connection, self.path) < SCHEMA_VERSION:
                from mlops_sdk.stores.sqlite.migrations import migrate

                migrate(connection)
            self.store_id = _store_id(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_same(self, connection: sqlite3.Connection) -> None:
        """Refuse what another process made of the file meanwhile: a newer schema, another store."""
        version_of(connection, self.path)
        if (found := _store_id(connection)) != self.store_id:
            self._writer_file = None  # opened anew by the next write
            raise StoreUnavailableError(f"{self.path} was replaced by store {found} while it was in use: try again")

    def _checkpoint_when_large(self, connection: sqlite3.Connection) -> None:
        size = wal_bytes(self.path)
        if size < self._checkpointed_bytes:
            self._checkpointed_bytes = 0  # begun anew
        if size - self._checkpointed_bytes > CHECKPOINT_BYTES:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            # a reader may keep the log from being begun anew; it is not copied again until it has grown as much again
            self._checkpointed_bytes = size

    def _drop_writer(self) -> None:
        connection, self._writer, self._writer_file = self._writer, None, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # -- reading -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self, what: str = "") -> Iterator[sqlite3.Connection]:
        """A read transaction: one snapshot, whatever is written meanwhile.

        Parameters
        ----------
        what : str
            What is read, in words, for the error if it is damaged.

        Raises
        ------
        StoreUnavailableError, StoreCorruptError, StoreVersionError, ForeignStoreError
        """
        self._check_process()
        with translated(self.path, what):
            self._have_database()
            with self._pool_mutex:
                self._n_reading += 1
            try:
                with self._reader() as connection:
                    connection.execute("BEGIN")
                    try:
                        version_of(connection, self.path)
                        yield connection
                    finally:
                        if connection.in_transaction:
                            connection.execute("ROLLBACK")
            finally:
                with self._pool_mutex:
                    self._n_reading -= 1

    def _have_database(self) -> None:
        """Make the database, where that is ours to do."""
        if not self.path.exists():
            if self.read_only:
                raise StoreUnavailableError(f"there is no store at {self.directory}: `mlops init` makes one")
            with self.exclusive():
                pass

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        file_id = _file_id(self.path)
        connection, is_immutable = self._take_reader(file_id)
        is_sound = False
        try:
            yield connection
            is_sound = True
        finally:
            # immutable: what SQLite keeps in memory would hide that the file was replaced
            if is_immutable or not is_sound or not self._keep_reader(file_id, connection):
                connection.close()

    def _take_reader(self, file_id: FileId) -> tuple[sqlite3.Connection, bool]:
        with self._pool_mutex:
            stale = [pair for pair in self._readers if pair[0] != file_id]
            self._readers = [pair for pair in self._readers if pair[0] == file_id]
            idle = self._readers.pop()[1] if self._readers else None
        for _, connection in stale:
            connection.close()
        return (idle, False) if idle is not None else self._new_reader()

    def _new_reader(self) -> tuple[sqlite3.Connection, bool]:
        connection, is_immutable = open_reader(self.path)
        try:
            is_current = version_of(connection, self.path) >= SCHEMA_VERSION
            if is_current:
                self.store_id = _store_id(connection)
        except BaseException:
            connection.close()
            raise
        if is_current:
            return connection, is_immutable
        connection.close()
        if self.read_only:
            raise StoreUnavailableError(f"{self.path} has an older format: open it once for writing")
        with self.exclusive():  # migrates it
            pass
        return self._new_reader()

    def _keep_reader(self, file_id: FileId, connection: sqlite3.Connection) -> bool:
        with self._pool_mutex:
            if len(self._readers) >= _READERS_KEPT:
                return False
            self._readers.append((file_id, connection))
            return True

    # -- closing -------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Close every connection that is not in use; the next call opens what it needs."""
        with translated(self.path), self._alone(), self._pool_mutex:
            self._close_all()

    def _close_all(self) -> None:
        self._close_readers()
        self._drop_writer()  # last: whoever closes the file last takes the log away, which a reader cannot

    def _close_readers(self) -> None:
        readers, self._readers = self._readers, []
        for _, connection in readers:
            connection.close()

    # -- forks ---------------------------------------------------------------------------------------------------

    def _check_process(self) -> None:
        """Refuse a process that inherited connections to this file.

        Raises
        ------
        StoreUnavailableError
        """
        if self._pid != os.getpid():  # forked by something that does not tell Python
            if self._writer is not None or self._readers or self._n_reading:
                _unusable.add(self.path)
            self.after_fork_in_child()
        if self.path in _unusable:
            raise StoreUnavailableError(
                f"{self.path}: this process was forked while its parent was reading or writing the store; what it logs "
                "stays in its journal and is delivered by another process"
            )

    def before_fork(self) -> bool:
        """Close every connection and keep others from opening one; returns False if some stay in use."""
        deadline = time.monotonic() + _FORK_WAIT_S
        if not self._mutex.acquire(timeout=_FORK_WAIT_S):
            return False
        while self._pool_mutex.acquire(timeout=max(0.0, deadline - time.monotonic())):
            if self._n_reading == 0:
                self._close_all()
                return True
            self._pool_mutex.release()
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
        self._mutex.release()
        return False

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._pool_mutex.release()
        self._mutex.release()

    def after_fork_in_child(self) -> None:
        """Begin anew, without the connections that stayed open and without the threads that held the locks."""
        self._mutex, self._pool_mutex = threading.Lock(), threading.Lock()
        # never closed, for that would release locks and delete files of the parent's
        _abandoned.extend(connection for _, connection in self._readers)
        if self._writer is not None:
            _abandoned.append(self._writer)
        self._writer, self._readers, self._n_reading = None, [], 0
        self._pid = os.getpid()


def _file_id(path: Path) -> FileId:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _store_id(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
    return str(row[0]) if row else ""


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection] = []
_unusable: set[Path] = set()
_held: dict[int, list[tuple[Database, bool]]] = {}
"""By thread, for several may be forking: the databases, and whether they are closed and held."""


def _before_fork() -> None:
    _held[threading.get_ident()] = [(database, database.before_fork()) for database in list(_databases)]


def _after_fork_in_parent() -> None:
    for database, is_held in _held.pop(threading.get_ident(), ()):
        if is_held:
            database.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for database, is_held in _held.pop(threading.get_ident(), ()):
        if not is_held:
            _unusable.add(database.path)
        database.after_fork_in_child()
    _held.clear()


_forking.watch(
    _forking.STORES, before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
