"""A database that is made anew gets the newest schema at once, by the standard library alone.

sqlite-utils, which brings older schemas up to date, takes longer to import than all of it: it would be most of what the
first run of a store waits for. What it would have written down is written here too, so that it goes on from there; a test
holds that both ways lead to the same schema.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from mlops_sdk.blobs.durable import sync_directory, sync_file
from mlops_sdk.stores.sqlite import directory as directories
from mlops_sdk.stores.sqlite.connection import connect
from mlops_sdk.stores.sqlite.schema import APPLICATION_ID, CREATE, SCHEMA_VERSION, UPGRADE_2, UPGRADE_3

MIGRATION_SET = "mlops_sdk"
_ABANDONED_S = 60.0
APPLIED = ("m001_create", "m002_histories", "m003_index_keys")
"""Names of the migrations that the newest schema stands for; `migrations` has one function for each."""

# As sqlite-utils makes it.
_RECORDS = """CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)"""
_RECORDS_INDEX = """CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")"""


def create_tables(connection: sqlite3.Connection) -> None:
    """The tables of schema 1 and what stands in them from the beginning; the caller has a transaction."""
    for statement in CREATE:
        connection.execute(statement)
    meta = {"store_id": os.urandom(16).hex(), "created_ns": time.time_ns()}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute("PRAGMA user_version=1")


def upgrade_to_2(connection: sqlite3.Connection) -> None:
    """From schema 1 to 2; the caller has a transaction."""
    for statement in UPGRADE_2:
        connection.execute(statement)
    connection.execute("PRAGMA user_version=2")


def upgrade_to_3(connection: sqlite3.Connection) -> None:
    """From schema 2 to 3; the caller has a transaction."""
    for statement in UPGRADE_3:
        connection.execute(statement)
    connection.execute("PRAGMA user_version=3")


def make(path: Path, mode: int, *, wal: bool) -> None:
    """Make the newest schema in a new file; the caller holds the store's lock.

    Parameters
    ----------
    path : Path
        Stands there, whole and durable, when this returns; left alone when something stands there already.
    mode : int
        Permissions of the file.
    wal : bool
        Its journal mode: a write-ahead log, or a rollback journal.

    Raises
    ------
    sqlite3.Error, OSError
        Nothing of it is left.

    Notes
    -----
    It is made under another name and then given its own. A power cut in the middle of SQLite's first transactions would
    leave a file that does not say yet whose it is.
    """
    _tidy(path)
    hidden = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        directories.create_file(hidden, mode)
        _fill(hidden, wal=wal)
        with hidden.open("rb+") as file:
            sync_file(file.fileno())
        _give_name(hidden, path)
        sync_directory(path.parent)
    finally:
        _tidy(path, hidden)


def _tidy(path: Path, own: Path | None = None) -> None:
    """Remove what a process that died has left of a database in the making, or all that this one has.

    One that is young may be another node's: on a network file system without locks the store's lock holds nobody else.
    """
    pattern = f".{path.name}.*.tmp*" if own is None else f"{own.name}*"
    for file in path.parent.glob(pattern):
        with contextlib.suppress(OSError):
            if own is not None or time.time() - file.stat().st_mtime > _ABANDONED_S:
                file.unlink()


def _fill(path: Path, *, wal: bool) -> None:
    connection = connect(path, "mode=rw")
    try:
        # nobody else knows the file, and what is not finished is thrown away: it is synced once, when it is whole
        for statement in (
            *("PRAGMA journal_mode=MEMORY", "PRAGMA synchronous=OFF"),
            *("PRAGMA auto_vacuum=INCREMENTAL", f"PRAGMA application_id={APPLICATION_ID}"),
        ):
            connection.execute(statement).fetchall()
        create(connection)
        if wal:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
    finally:
        connection.close()


def create(connection: sqlite3.Connection) -> None:
    """Make the newest schema in an empty database, in one transaction."""
    connection.execute("BEGIN")
    connection.execute(_RECORDS)
    connection.execute(_RECORDS_INDEX)
    create_tables(connection)
    upgrade_to_2(connection)
    upgrade_to_3(connection)
    now = time.strftime("%Y-%m-%d %H:%M:%S+00:00", time.gmtime())
    rows = [(MIGRATION_SET, name, now) for name in APPLIED]
    connection.executemany("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)", rows)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _give_name(hidden: Path, path: Path) -> None:
    """Name a file, never over another one that has anything in it."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        if path.stat().st_size == 0:
            os.replace(hidden, path)
    except OSError:  # a file system without hard links
        os.rename(hidden, path)
