"""Connections to the database: one that writes, some that read, each set up the same way.

A database is touched only after it was found to be ours. Whatever is in it is input: nothing stored in its schema may run
(no triggers, `trusted_schema` off), and no other file can be attached.

References
----------
.. [1] https://www.sqlite.org/security.html
.. [2] ``docs/adr/0003-sqlite-store.md``
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from mlops_sdk.errors import ForeignStoreError, StoreCorruptError, StoreUnavailableError, StoreVersionError
from mlops_sdk.stores.sqlite.conditions import add_functions
from mlops_sdk.stores.sqlite.faults import primary_code
from mlops_sdk.stores.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES

_LOOK_AGAIN_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
BUSY_TIMEOUT_S = 5.0
_CHECKPOINT_WAIT_MS = 250
_WAL_KEPT_BYTES = 1 << 20
_CACHE_KIB = 8192
_REFUSED = {
    sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TABLE,
    sqlite3.SQLITE_CREATE_VIEW, sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_REINDEX,
}  # fmt: skip
_COMMON = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA mmap_size=0",
    "PRAGMA temp_store=MEMORY",
    f"PRAGMA cache_size=-{_CACHE_KIB}",
)


def connect(path: Path, parameters: str) -> sqlite3.Connection:
    """Open the database with URI `parameters`; nothing of it is read yet."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{parameters}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are begun and ended by name
        check_same_thread=False,  # one thread at a time: see `Database`
    )
    with contextlib.suppress(sqlite3.Error):  # not compiled in: no harm, we never attach
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    if (defensive := getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE", None)) is not None:  # from Python 3.12 on
        connection.setconfig(defensive, True)  # type: ignore[attr-defined]
    add_functions(connection)
    return connection


def open_writer(path: Path, *, wal: bool) -> sqlite3.Connection:
    """Open for writing; the caller holds the lock."""
    identify(path)
    connection = connect(path, "mode=rw")
    try:
        _run(connection, *_COMMON)
        _set_journal(connection, wal=wal)
        check_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_journal(connection: sqlite3.Connection, *, wal: bool) -> None:
    # EXTRA also syncs the directory after the journal is deleted; a write-ahead log is not deleted by a commit
    wanted, synchronous = ("wal", "FULL") if wal else ("delete", "EXTRA")
    (mode,) = connection.execute(f"PRAGMA journal_mode={wanted}").fetchone()
    if mode != wanted:
        raise StoreUnavailableError(f"the database stays in journal mode {mode!r}: close other programs that use it")
    _run(
        connection,
        f"PRAGMA synchronous={synchronous}",
        "PRAGMA wal_autocheckpoint=0",
        f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}",
        "PRAGMA secure_delete=FAST",
    )


def open_reader(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Open for reading; returns the connection and whether it takes the file to be immutable.

    Raises
    ------
    StoreUnavailableError
        If only a writable directory would do: there is a write-ahead log that is not merged yet.
    """
    identify(path)
    connection = connect(path, "mode=ro")
    try:
        _run(connection, *_COMMON, "PRAGMA query_only=ON")
        check_schema(connection, path)
        connection.set_authorizer(_only_reads)
    except sqlite3.OperationalError as error:
        connection.close()
        if primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        return _open_immutable(path), True
    except BaseException:
        connection.close()
        raise
    return connection, False


def _open_immutable(path: Path) -> sqlite3.Connection:
    """Read without locks and log, which SQLite cannot make here."""
    if os.access(path.parent, os.W_OK) or wal_bytes(path):
        raise StoreUnavailableError(
            f"{path}: what was written last stands in {path.name}-wal, which cannot be read from a directory that is "
            "not writable: copy the directory to a place of your own, or open the store once where it can be written"
        )
    connection = connect(path, "mode=ro&immutable=1")
    try:
        _run(connection, *_COMMON, "PRAGMA query_only=ON")
        check_schema(connection, path)
        connection.set_authorizer(_only_reads)
    except BaseException:
        connection.close()
        raise
    return connection


def _only_reads(action: int, *_: object) -> int:
    """Whether a reader's statement may do `action`: whatever text came to be run, it reads this file and no other.

    Notes
    -----
    A list of what is refused: table-valued functions declare tables within SQLite when they are first used. Plain writes are
    refused by ``query_only`` and ``mode=ro`` as well.
    """
    return sqlite3.SQLITE_DENY if action in _REFUSED else sqlite3.SQLITE_OK


def checkpoint_fully(connection: sqlite3.Connection) -> None:
    """Merge the log into the database and empty it, unless somebody reads: it is then left for another time."""
    _run(connection, f"PRAGMA busy_timeout={_CHECKPOINT_WAIT_MS}", "PRAGMA wal_checkpoint(TRUNCATE)")
    _run(connection, f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")


def wal_bytes(path: Path) -> int:
    """Size of the write-ahead log, 0 when there is none."""
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0


def identify(path: Path) -> None:
    """Check that the file is a database of ours that this version reads, without touching it or anything beside it.

    Raises
    ------
    ForeignStoreError, StoreVersionError, StoreCorruptError

    Notes
    -----
    Through SQLite, not by opening the file: POSIX drops all of a process's locks on a file when any descriptor of it is
    closed. Read without locks, the first page can be half old and half new while somebody checkpoints; so what does not
    look like ours is looked at again.
    """
    for pause_s in _LOOK_AGAIN_S:
        try:
            return _identify(path)
        except (ForeignStoreError, StoreVersionError, StoreCorruptError, sqlite3.DatabaseError):
            time.sleep(pause_s)
    return _identify(path)


def _identify(path: Path) -> None:
    connection = connect(path, "mode=ro&immutable=1")
    try:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_NOTADB:
            raise
        raise StoreCorruptError(
            f"{path}: not a SQLite database, or its first bytes are damaged: restore it from a backup, or move it away",
            place=str(path),
        ) from error
    finally:
        connection.close()
    if found != APPLICATION_ID and path.stat().st_size > 0:
        raise ForeignStoreError(f"{path} is a database of another program; it was not touched. Name another directory")
    if version > SCHEMA_VERSION:
        raise StoreVersionError(str(path), version, SCHEMA_VERSION)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Schema version, 0 before the first migration.

    Raises
    ------
    StoreVersionError
        If it is newer than this version of the package knows.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StoreVersionError(str(path), version, SCHEMA_VERSION)
    return int(version)


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database whose schema could act: triggers, or something else than a table under a table's name.

    Raises
    ------
    StoreCorruptError, StoreVersionError
    """
    version_of(connection, path)
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema"):
        is_ours = name in TABLES
        if kind == "trigger" or (is_ours and (kind != "table" or "VIRTUAL" in sql[:16].upper())):
            raise StoreCorruptError(
                f"{path}: its schema has a {kind} {name!r} that we did not make: remove it, or restore a backup",
                place=f"{path}, schema",
            )


def _run(connection: sqlite3.Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement).fetchall()
