"""Checkpoints of a writer's history: what a batch that comes again is verified against.

A checkpoint has the chain hash up to a sequence number, and the checksums of those records since the checkpoint before
that leave no trace of their own in the database (framed records, rejected points); points can be compared themselves.

References
----------
.. [1] ``docs/adr/0010-diverged-histories.md``
"""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Batch, Decoded

_RECORD = struct.Struct("<QI")
_MANY = 64
"""So many checkpoints within a segment are thinned to `_KEEP`: re-sent batches begin and end at the newest ones."""
_KEEP = 16
_INT64_MAX = 2**63 - 1


def signed(chain: int) -> int:
    """A chain hash as SQLite keeps it: two's complement."""
    return chain - (1 << 64) if chain > _INT64_MAX else chain


def unsigned(chain: int) -> int:
    """A chain hash as it is computed."""
    return chain & 0xFFFF_FFFF_FFFF_FFFF


def pack(decoded: Decoded, rejected: set[int]) -> bytes:
    """Numbers and checksums of the records of a batch that are neither points nor stored as such."""
    if not isinstance(decoded.numbers, list):
        return _pack_columns(decoded, rejected)
    stored = set(decoded.points.sequence) - rejected
    pairs = zip(decoded.numbers, decoded.checksums, strict=True)
    return b"".join(_RECORD.pack(number, checksum) for number, checksum in pairs if number not in stored)


def _pack_columns(decoded: Decoded, rejected: set[int]) -> bytes:
    import numpy as np

    is_kept = ~np.isin(decoded.numbers, decoded.points.sequence, assume_unique=True)
    if rejected:
        is_kept |= np.isin(decoded.numbers, np.array(sorted(rejected), np.int64))
    pairs = zip(decoded.numbers[is_kept].tolist(), decoded.checksums[is_kept].tolist(), strict=True)
    return b"".join(_RECORD.pack(number, checksum) for number, checksum in pairs)


def add(connection: sqlite3.Connection, writer: int, batch: Batch, chain: int, records: bytes) -> None:
    """Keep a checkpoint at the end of a batch that was applied.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a write transaction.
    writer : int
        Row id.
    batch : Batch
    chain : int
        Up to the end of the batch.
    records : bytes
        From `pack`.
    """
    if batch.first > 1 and batch.first == batch.writer.first:
        _end_segment(connection, writer, batch.first - 1)
    connection.execute(
        "INSERT INTO checkpoints (writer, sequence, chain, is_segment_end, records) VALUES (?, ?, ?, 0, ?)",
        (writer, batch.last, signed(chain), records),
    )
    _thin(connection, writer)


def _end_segment(connection: sqlite3.Connection, writer: int, end: int) -> None:
    """The writer goes on in a new segment: of the one before, its end is enough."""
    rows = _within(connection, writer)
    if rows and rows[-1][1] == end:
        _merge(connection, rows)
        connection.execute("UPDATE checkpoints SET is_segment_end = 1 WHERE id = ?", (rows[-1][0],))


def _thin(connection: sqlite3.Connection, writer: int) -> None:
    (count,) = connection.execute(
        "SELECT count(*) FROM checkpoints WHERE writer = ? AND sequence > ?", (writer, _segment_end(connection, writer))
    ).fetchone()
    if count > _MANY:
        _merge(connection, _within(connection, writer)[:-_KEEP])


def _segment_end(connection: sqlite3.Connection, writer: int) -> int:
    """The newest checkpoint at the end of a segment, 0 when there is none; segments are few."""
    row = connection.execute(
        "SELECT sequence FROM checkpoints WHERE writer = ? AND is_segment_end ORDER BY sequence DESC LIMIT 1", (writer,)
    ).fetchone()
    return int(row[0]) if row else 0


def _within(connection: sqlite3.Connection, writer: int) -> list[tuple[int, int]]:
    """(id, sequence) of the checkpoints in the segment in use."""
    return connection.execute(
        "SELECT id, sequence FROM checkpoints WHERE writer = ? AND sequence > ? ORDER BY sequence",
        (writer, _segment_end(connection, writer)),
    ).fetchall()


def _merge(connection: sqlite3.Connection, rows: list[tuple[int, int]]) -> None:
    """Leave the last of neighbours, with what all of them knew."""
    if len(rows) < 2:
        return
    records = []
    for row_id, _ in rows:
        records.append(connection.execute("SELECT records FROM checkpoints WHERE id = ?", (row_id,)).fetchone()[0])
    connection.execute("UPDATE checkpoints SET records = ? WHERE id = ?", (b"".join(records), rows[-1][0]))
    connection.executemany("DELETE FROM checkpoints WHERE id = ?", [(row_id,) for row_id, _ in rows[:-1]])


def chain_at(connection: sqlite3.Connection, writer: int, sequence: int) -> int | None:
    """The chain hash up to `sequence`; None where no checkpoint is."""
    if sequence == 0:
        return 0
    row = connection.execute(
        "SELECT chain FROM checkpoints WHERE writer = ? AND sequence = ?", (writer, sequence)
    ).fetchone()
    return unsigned(row[0]) if row else None


def checksums(connection: sqlite3.Connection, writer: int, first: int, last: int) -> dict[int, int]:
    """Checksums by number of the records between `first` and `last` that are not stored as points."""
    found: dict[int, int] = {}
    rows = connection.execute(
        "SELECT sequence, records FROM checkpoints WHERE writer = ? AND sequence >= ? ORDER BY sequence",
        (writer, first),
    )
    for sequence, records in rows:
        found.update(_RECORD.iter_unpack(records))
        if sequence >= last:
            break
    return found
