"""How an older database gets the schema of this version.

Loaded only when the schema is behind; a new database is made by `creation`.

Each migration and the record that it ran are one transaction, and so is the new `user_version`: a process that is killed
leaves either the old schema or the new one. A migration that was released is never changed.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from mlops_sdk.stores.sqlite.connection import checkpoint_fully
from mlops_sdk.stores.sqlite.creation import MIGRATION_SET, create_tables, upgrade_to_2, upgrade_to_3
from mlops_sdk.stores.sqlite.schema import SCHEMA_VERSION

migrations = Migrations(MIGRATION_SET)


@migrations()
def m001_create(db: Database) -> None:
    """The first schema."""
    create_tables(db.conn)


@migrations()
def m002_histories(db: Database) -> None:
    """What tells two histories under the same sequence numbers apart."""
    upgrade_to_2(db.conn)


@migrations()
def m003_index_keys(db: Database) -> None:
    """Which keys there are, without looking at the runs."""
    upgrade_to_3(db.conn)


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
