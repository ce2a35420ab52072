"""Whether a batch that comes again is what is stored, or another history under the same numbers.

The chain hash decides wherever a batch begins and ends at checkpoints, which is nearly always. Where it does not, or says
no, the records are compared one by one with the points that are stored and the checksums of the rest: what two histories
have in common is found exactly, so that nothing is lost or doubled.

References
----------
.. [1] ``docs/adr/0010-diverged-histories.md``
"""

from __future__ import annotations

import bisect
import sqlite3
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.errors import DivergedError
from mlops_sdk.journal.records import extend_chain
from mlops_sdk.stores.sqlite import columns
from mlops_sdk.stores.sqlite.checkpoints import chain_at, checksums
from mlops_sdk.stores.sqlite.points import CHUNK_TYPES, TAIL_TYPES

if TYPE_CHECKING:
    from mlops_sdk.journal.records import Batch, Decoded

_DOUBLE = struct.Struct("<d")
_Point = tuple[int, int, int, bytes]
"""Row id of the metric, step, time, bits of the value."""


class Stored(NamedTuple):
    """What is stored of a writer: its row id, up to which number, and the chain hash up to there."""

    writer: int
    sequence: int
    chain: int


def verify(connection: sqlite3.Connection, stored: Stored, batch: Batch, decoded: Decoded) -> None:
    """Compare the part of a batch that is stored already.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a transaction.
    stored : Stored
    batch : Batch
        Begins at or below `stored.sequence`.
    decoded : Decoded
        All of the batch.

    Raises
    ------
    DivergedError
        If it is another history.
    """
    end = min(batch.last, stored.sequence)
    if _is_same_chain(connection, stored, batch, decoded, end) or _is_gone(connection, batch):
        return
    known = checksums(connection, stored.writer, batch.first, end)
    points = _stored_points(connection, stored.writer, batch.first, end)
    for number, record in _records(connection, stored.writer, decoded, end):
        if record not in (known.get(number), points.get(number)):
            raise DivergedError(batch.writer.writer_id, number - 1, _keys(connection, stored.writer, number))


def _is_same_chain(connection: sqlite3.Connection, stored: Stored, batch: Batch, decoded: Decoded, end: int) -> bool:
    start = chain_at(connection, stored.writer, batch.first - 1)
    expected = stored.chain if end == stored.sequence else chain_at(connection, stored.writer, end)
    if start is None or expected is None:
        return False
    count = bisect.bisect_right(decoded.numbers, end)
    ends_whole = end == batch.last or (count < len(decoded.numbers) and decoded.numbers[count] == end + 1)
    return ends_whole and extend_chain(start, decoded.checksums[:count]) == expected


def _is_gone(connection: sqlite3.Connection, batch: Batch) -> bool:
    """Whether the run was deleted for good: what its writers still send goes nowhere."""
    row = connection.execute("SELECT 1 FROM purged WHERE run_id = ?", (batch.writer.run_id,)).fetchone()
    return row is not None


def _records(connection: sqlite3.Connection, writer: int, decoded: Decoded, end: int) -> Iterator[tuple[int, Any]]:
    """(number, what is to be found stored under it) of each record up to `end`."""
    metrics = dict(connection.execute("SELECT key_id, metric FROM writer_keys WHERE writer = ?", (writer,)))
    points = decoded.points
    of_points = zip(
        *map(_listed, (points.sequence, points.key_id, points.step, points.time_ns, points.value)), strict=True
    )
    wanted = {row[0]: row[1:] for row in of_points}
    for number, checksum in zip(_listed(decoded.numbers), _listed(decoded.checksums), strict=True):
        if number > end:
            return
        key_id, step, time_ns, value = wanted.get(number, (0, 0, 0, 0.0))
        is_stored_point = key_id in metrics
        yield number, (metrics[key_id], step, time_ns, _DOUBLE.pack(value)) if is_stored_point else checksum


def _stored_points(connection: sqlite3.Connection, writer: int, first: int, last: int) -> dict[int, _Point]:
    found: dict[int, _Point] = {}
    run = "(SELECT r.id FROM runs r JOIN writers w ON w.run_id = r.run_id WHERE w.id = :writer)"
    where = f"WHERE run = {run} AND writer = :writer AND last_sequence >= :first AND first_sequence <= :last"
    bound = {"writer": writer, "first": first, "last": last}
    tails = connection.execute(f"SELECT 'tails, row ' || id, n, points FROM tails {where}", bound)  # noqa: S608 - constants
    for place, n, blob in tails:
        step, time_ns, value, sequence, metric = columns.decode(blob, TAIL_TYPES, place=place, n=n)
        _collect(found, sequence, metric.tolist(), step, time_ns, value)
    chunks = connection.execute(
        f"SELECT 'chunks, row ' || id, n, points, metric FROM chunks {where}",  # noqa: S608 - likewise
        bound,
    )
    for place, n, blob, metric in chunks:
        step, time_ns, value, sequence = columns.decode(blob, CHUNK_TYPES, place=place, n=n)
        _collect(found, sequence, [metric] * n, step, time_ns, value)
    return found


def _collect(found: dict[int, _Point], sequence: Any, metric: list[int], step: Any, time_ns: Any, value: Any) -> None:
    bits = value.astype("<f8").tobytes()
    rows = zip(sequence.tolist(), metric, step.tolist(), time_ns.tolist(), strict=True)
    for index, (number, key, at_step, at_ns) in enumerate(rows):
        found[number] = (key, at_step, at_ns, bits[index * 8 : index * 8 + 8])


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())


def _keys(connection: sqlite3.Connection, writer: int, before: int) -> dict[int, str]:
    """Names of the metrics that the writer had defined before record `before`, by key id."""
    return dict(
        connection.execute(
            """SELECT w.key_id, k.name FROM writer_keys w JOIN metric_keys k ON k.id = w.metric
            WHERE w.writer = ? AND w.sequence < ? ORDER BY w.key_id""",
            (writer, before),
        )
    )
