"""A database that is made anew gets the newest schema at once, by the standard library alone.

sqlite-utils, which brings older schemas up to date, takes longer to import than all of it: it would be most of what the
first run of a store waits for. What it would have written down is written here too, so that it goes on from there; a test
holds that both ways lead to the same schema.
"""

from __future__ import annotations

import os
import sqlite3
import time

from mlops_sdk.stores.sqlite.connection import checkpoint_fully
from mlops_sdk.stores.sqlite.schema import CREATE, SCHEMA_VERSION, UPGRADE_2

MIGRATION_SET = "mlops_sdk"
APPLIED = ("m001_create", "m002_histories")
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


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nothing has been made in the database."""
    (count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(count == 0)


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


def create(connection: sqlite3.Connection) -> None:
    """Make the newest schema in an empty database, in one transaction; the caller holds the store's lock.

    Raises
    ------
    sqlite3.Error
        Nothing of it is left.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_RECORDS)
        connection.execute(_RECORDS_INDEX)
        create_tables(connection)
        upgrade_to_2(connection)
        now = time.strftime("%Y-%m-%d %H:%M:%S+00:00", time.gmtime())
        rows = [(MIGRATION_SET, name, now) for name in APPLIED]
        connection.executemany(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)", rows
        )
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    checkpoint_fully(connection)  # from now on the file alone tells its version
