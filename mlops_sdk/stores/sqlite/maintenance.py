"""Cleaning up, copying and measuring a store."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.errors import ArtifactNotFoundError, InvalidValueError, StoreCorruptError
from mlops_sdk.stores.sqlite import directory as directories
from mlops_sdk.stores.sqlite.connection import connect, wal_bytes
from mlops_sdk.stores.sqlite.faults import translated
from mlops_sdk.stores.sqlite.schema import OF_RUN, SCHEMA_VERSION

if TYPE_CHECKING:
    from mlops_sdk.stores.sqlite.store import SQLiteStore


@dataclass(frozen=True, slots=True)
class GcReport:
    """What `gc` deleted.

    Attributes
    ----------
    runs : int
        Runs that were in the trash.
    blobs : int
        Artifacts' bytes that nothing referred to.
    blob_bytes, database_bytes : int
        Freed on disk.
    """

    runs: int
    blobs: int
    blob_bytes: int
    database_bytes: int


def collect(
    store: SQLiteStore,
    *,
    before_ns: int | None,
    referenced: Iterable[str] | Callable[[], Iterable[str]],
    grace_s: float,
) -> GcReport:
    """See `SQLiteStore.gc`."""
    runs = 0
    while purged := _purge_some(store, before_ns):
        runs += purged
    blobs = blob_bytes = 0
    for sha256 in _unreferenced(store, referenced):
        freed = store.blobs.remove(sha256, older_than_s=grace_s)
        blobs += freed > 0
        blob_bytes += freed
    store.blobs.sweep_temp(grace_s)
    return GcReport(runs, blobs, blob_bytes, store.reclaim())


_AT_ONCE = 20
"""Runs deleted in one transaction: others want to write, too."""


def _purge_some(store: SQLiteStore, before_ns: int | None) -> int:
    with store.database.writing() as connection:
        rows = connection.execute(
            "SELECT id, run_id FROM runs WHERE deleted_ns IS NOT NULL AND (:before IS NULL OR deleted_ns < :before) LIMIT :n",
            {"before": before_ns, "n": _AT_ONCE},
        ).fetchall()
        for run, run_id in rows:
            _purge(connection, run, run_id)
        if rows:
            connection.execute(
                "DELETE FROM packages WHERE digest NOT IN (SELECT packages FROM environment WHERE packages IS NOT NULL)"
            )
        return len(rows)


def _purge(connection: sqlite3.Connection, run: int, run_id: str) -> None:
    """Delete a run. Its writers stay, as tombstones: what they still send is acknowledged and goes nowhere."""
    for table in OF_RUN:
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608 - names from the schema
    writers = "(SELECT id FROM writers WHERE run_id = ?)"
    for table in ("writer_keys", "rejected", "checkpoints"):
        connection.execute(f"DELETE FROM {table} WHERE writer IN {writers}", (run_id,))  # noqa: S608 - likewise
    connection.execute("DELETE FROM runs WHERE id = ?", (run,))
    connection.execute("INSERT OR REPLACE INTO purged VALUES (?, ?)", (run_id, time.time_ns()))


def _unreferenced(store: SQLiteStore, referenced: Iterable[str] | Callable[[], Iterable[str]]) -> Iterable[str]:
    kept = list(store.blobs.digests())
    # after the blobs were listed: what a journal delivers meanwhile is in one of the two places that are read now
    in_journals = set(referenced() if callable(referenced) else referenced)
    with store.database.reading("table artifacts") as connection:
        in_runs = {digest for (digest,) in connection.execute("SELECT DISTINCT sha256 FROM artifacts")}
    return [digest for digest in kept if digest not in in_journals and digest not in in_runs]


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What `backup` copied.

    Attributes
    ----------
    target : Path
    database_bytes : int
    blobs : int
        Artifacts' bytes in the copy.
    missing : tuple of str
        Digests that runs refer to and whose bytes the store does not have.
    """

    target: Path
    database_bytes: int
    blobs: int
    missing: tuple[str, ...]


def back_up(store: SQLiteStore, target: Path) -> BackupReport:
    """See `SQLiteStore.backup`."""
    final = target / "store.db"
    if final.exists():
        raise InvalidValueError(f"there is a store at {target} already: give another directory")
    partial = target / "store.db.partial"
    with translated(partial):
        mode = directories.prepare(target)
        partial.unlink(missing_ok=True)
        directories.create_file(partial, mode)
        _copy_database(store, partial)
        _verify(partial)
    blobs, missing = _copy_blobs(store, partial, LocalBlobs(target / "blobs"))
    with translated(final):
        os.replace(partial, final)
    return BackupReport(target, final.stat().st_size, blobs, missing)


def _copy_database(store: SQLiteStore, partial: Path) -> None:
    copy = connect(partial, "mode=rw")
    try:
        with store.database.reading() as connection:
            connection.backup(copy)
        # one clean file, whatever the journal mode of the original
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
    finally:
        copy.close()


def _verify(path: Path) -> None:
    copy = connect(path, "mode=ro")
    try:
        found = copy.execute("PRAGMA integrity_check").fetchall()
    finally:
        copy.close()
    if found != [("ok",)]:
        raise StoreCorruptError(
            f"{path}: the copy is damaged, as the original may be ({found[0][0]}): run `mlops fsck`", place=str(path)
        )


def _copy_blobs(store: SQLiteStore, database: Path, target: LocalBlobs) -> tuple[int, tuple[str, ...]]:
    copy = connect(database, "mode=ro")
    try:
        digests = [digest for (digest,) in copy.execute("SELECT DISTINCT sha256 FROM artifacts ORDER BY sha256")]
    finally:
        copy.close()
    n_copied, missing = 0, []
    for digest in digests:
        try:
            with store.blobs.open(digest, verify=False) as source:
                target.put_open(source)
            n_copied += 1
        except (ArtifactNotFoundError, InvalidValueError):
            missing.append(digest)
    return n_copied, tuple(missing)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts and sizes of a store.

    Attributes
    ----------
    schema_version : int
    sqlite_version, journal_mode : str
    runs, deleted_runs, experiments, writers, metrics : int
    points, chunks, tails : int
        Points of all metrics, and the rows they stand in.
    rejected : int
        Records that were acknowledged and could not be applied.
    database_bytes, wal_bytes, free_bytes : int
        The file, the log beside it, and what of the file is free.
    blobs : int
        Digests that runs refer to.
    """

    schema_version: int
    sqlite_version: str
    journal_mode: str
    runs: int
    deleted_runs: int
    experiments: int
    writers: int
    metrics: int
    points: int
    chunks: int
    tails: int
    rejected: int
    database_bytes: int
    wal_bytes: int
    free_bytes: int
    blobs: int


_COUNTS = {
    "runs": "SELECT count(*) FROM runs WHERE deleted_ns IS NULL",
    "deleted_runs": "SELECT count(*) FROM runs WHERE deleted_ns IS NOT NULL",
    "experiments": "SELECT count(*) FROM experiments WHERE NOT is_deleted",
    "writers": "SELECT count(*) FROM writers",
    "metrics": "SELECT count(*) FROM metrics",
    "points": "SELECT (SELECT coalesce(sum(n), 0) FROM chunks) + (SELECT coalesce(sum(n), 0) FROM tails)",
    "chunks": "SELECT count(*) FROM chunks",
    "tails": "SELECT count(*) FROM tails",
    "rejected": "SELECT coalesce(sum(count), 0) FROM rejected",
    "blobs": "SELECT count(DISTINCT sha256) FROM artifacts",
}


def read_stats(store: SQLiteStore) -> Stats:
    """See `SQLiteStore.stats`."""
    path = store.database.path
    with store.database.reading() as connection:
        counts = {name: int(connection.execute(sql).fetchone()[0]) for name, sql in _COUNTS.items()}
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        return Stats(
            schema_version=SCHEMA_VERSION,
            sqlite_version=sqlite3.sqlite_version,
            journal_mode=journal_mode,
            database_bytes=path.stat().st_size,
            wal_bytes=wal_bytes(path),
            free_bytes=free * page_bytes,
            **counts,
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """What a writer logged that was acknowledged and could not be applied.

    Attributes
    ----------
    run_id, writer_id : str
    sequence, count : int
        Number of the first record, and how many there are.
    kind : int
        See `mlops_sdk.journal.records.Kind`; 0 for points.
    payload, reason : str
    """

    run_id: str
    writer_id: str
    sequence: int
    count: int
    kind: int
    payload: str
    reason: str


def read_rejected(store: SQLiteStore, limit: int) -> list[Rejected]:
    """See `SQLiteStore.rejected`."""
    with store.database.reading("table rejected") as connection:
        rows = connection.execute(
            """SELECT w.run_id, w.writer_id, j.sequence, j.count, j.kind, j.payload, j.reason
            FROM rejected j JOIN writers w ON w.id = j.writer ORDER BY j.id DESC LIMIT ?""",
            (limit,),
        )
        return [Rejected(*row) for row in rows]
