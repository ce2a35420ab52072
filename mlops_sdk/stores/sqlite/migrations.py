"""How a database gets the schema of this version, whatever version made it.

Loaded only when the schema is behind: sqlite-utils takes longer to import than a small run takes to be written.

Each migration and the record that it ran are one transaction, and so is the new `user_version`: a process that is killed
leaves either the old schema or the new one. A migration that was released is never changed.
"""

from __future__ import annotations

import sqlite3
import time
import uuid

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from mlops_sdk.stores.sqlite.connection import checkpoint_fully
from mlops_sdk.stores.sqlite.schema import CREATE, SCHEMA_VERSION

migrations = Migrations("mlops_sdk")


@migrations()
def m001_create(db: Database) -> None:
    """The first schema."""
    for statement in CREATE:
        db.conn.execute(statement)
    meta = {"store_id": uuid.uuid4().hex, "created_ns": time.time_ns()}
    db.conn.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    db.conn.execute("PRAGMA user_version=1")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to `SCHEMA_VERSION`; the caller holds the store's lock.

    Raises
    ------
    sqlite3.Error
        Nothing of the migration that failed is left; those before it stay.
    """
    # plugins of sqlite-utils that happen to be installed have no business here
    database = Database(connection, execute_plugins=False)
    migrations.apply(database)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert version == SCHEMA_VERSION, "the last migration sets the version"
    # from now on the file alone tells its version
    checkpoint_fully(connection)
