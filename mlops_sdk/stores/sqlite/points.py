"""Metric points in the database: tails for fresh ones, chunks for many of one metric.

A batch leaves one row, its *tail*, whatever the number of metrics in it: a hundred metrics with a point each cost no more
than one. When a run's tails have grown, they are compacted: a metric with some thousands of points gets compressed
*chunks* of its own, the rest stays together in one compressed tail.

References
----------
.. [1] ``docs/storage-schema.md``
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_sdk.journal.records import Points
from mlops_sdk.stores.sqlite import columns

if TYPE_CHECKING:
    from mlops_sdk._types import IntArray

CHUNK_FROM = 1024
"""A metric with so many points in one place gets a chunk of its own."""
CHUNK_POINTS = 1 << 18
"""No chunk has more: compressing one takes some 20 MB of memory."""
SMALL_CHUNK = CHUNK_POINTS // 4
"""Chunks below are merged with their neighbours."""
MANY_CHUNKS = 16
TAIL_POINTS = 65_536
TAIL_ROWS = 512
"""A run with more fresh points in tails, or more fresh rows, is compacted while it runs."""
LEAVE_POINTS = 2048
"""A run that ends with fewer in fresh tails is left as it is: numpy takes longer to load than they take to read."""
_COMPRESS_FROM = 256
_REWRITE_RATIO = 4
"""Points written again per new point, at most: what is large stays as it is until as much has come together."""

TAIL_TYPES = "qqdqq"  # step, time_ns, value, sequence, metric
CHUNK_TYPES = "qqdq"  # step, time_ns, value, sequence


class Owner(NamedTuple):
    """Whose points they are: row ids of run and writer, and the writer's attempt."""

    run: int
    writer: int
    attempt: int


# -- fresh points ------------------------------------------------------------------------------------------------------


def add(connection: sqlite3.Connection, owner: Owner, points: Points) -> None:
    """Keep the points of a batch.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a write transaction.
    owner : Owner
    points : Points
        Columns of length n >= 1 in log order; `key_id` has row ids of metrics.
    """
    if isinstance(points.key_id, list):
        rest: Points | None = points
    else:
        rest = _add_chunks(connection, owner, points)
    if rest is not None:
        _add_tail(connection, owner, rest)


def _add_tail(connection: sqlite3.Connection, owner: Owner, points: Points) -> None:
    values = (points.step, points.time_ns, points.value, points.sequence, points.key_id)
    if isinstance(points.key_id, list):
        blob = columns.encode_lists(list(zip(TAIL_TYPES, values, strict=True)))
    else:
        blob = columns.encode_arrays(values)
    _insert_tail(connection, owner, len(points), (int(points.sequence[0]), int(points.sequence[-1])), blob)
    _note_fresh(connection, owner.run, len(points))


def _note_fresh(connection: sqlite3.Connection, run: int, n: int) -> None:
    """Count a new row, and its points if it is a tail."""
    connection.execute(
        "UPDATE runs SET tail_points = tail_points + ?, tail_rows = tail_rows + 1 WHERE id = ?", (n, run)
    )


def _insert_tail(
    connection: sqlite3.Connection,
    owner: Owner,
    n: int,
    sequences: tuple[int, int],
    blob: bytes,
    *,
    is_merged: bool = False,
) -> None:
    connection.execute(
        """INSERT INTO tails (run, writer, attempt, is_merged, n, first_sequence, last_sequence, points)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (*owner, is_merged, n, *sequences, blob),
    )


def _add_chunks(connection: sqlite3.Connection, owner: Owner, points: Points) -> Points | None:
    """Put metrics with many points into chunks; returns the rest."""
    import numpy as np

    order = np.argsort(points.key_id, kind="stable")
    metric = points.key_id[order]
    values = (points.step, points.time_ns, points.value, points.sequence)
    is_rest = np.ones(len(points), bool)
    for start, end in _groups(metric):
        if end - start >= CHUNK_FROM:
            chosen = order[start:end]
            is_rest[chosen] = False
            _insert_chunks(connection, owner, int(metric[start]), [column[chosen] for column in values])
            _note_fresh(connection, owner.run, 0)
    if not is_rest.any():
        return None
    return Points(
        *(column[is_rest] for column in (points.sequence, points.key_id, points.step, points.time_ns, points.value))
    )


def _insert_chunks(connection: sqlite3.Connection, owner: Owner, metric: int, values: Sequence[Any]) -> None:
    """Insert columns (step, time, value, sequence) in order of sequence, in chunks of at most `CHUNK_POINTS`."""
    for start in range(0, len(values[0]), CHUNK_POINTS):
        part = [column[start : start + CHUNK_POINTS] for column in values]
        step, _, _, sequence = part
        connection.execute(
            """INSERT INTO chunks
            (run, metric, writer, attempt, n, min_step, max_step, first_sequence, last_sequence, points)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                *(owner.run, metric, owner.writer, owner.attempt, len(step), int(step.min()), int(step.max())),
                *(int(sequence[0]), int(sequence[-1]), columns.compress(part)),
            ),
        )


# -- compaction --------------------------------------------------------------------------------------------------------


def is_due(connection: sqlite3.Connection, run: int) -> bool:
    """Whether what a running run has added since the last time is enough to be compacted."""
    row = connection.execute("SELECT tail_points, tail_rows FROM runs WHERE id = ?", (run,)).fetchone()
    return row is not None and (row[0] > TAIL_POINTS or row[1] > TAIL_ROWS)


def compact(connection: sqlite3.Connection, run: int, *, final: bool) -> None:
    """Bring a run's points into fewer and denser rows. No point is added, lost or changed.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a write transaction.
    run : int
        Row id.
    final : bool
        The run has ended: merge everything that is worth it.

    Raises
    ------
    StoreCorruptError
        If points are damaged; the caller rolls back.
    """
    rows = [
        _TailRow(*row)
        for row in connection.execute(
            "SELECT id, writer, attempt, is_merged, n FROM tails WHERE run = ? ORDER BY writer, attempt", (run,)
        )
    ]
    chosen = _choose_tails(rows, final=final)
    for (writer, attempt), group in itertools.groupby(chosen, key=lambda row: (row.writer, row.attempt)):
        _compact_tails(connection, Owner(run, writer, attempt), list(group))
    if chosen or not final:
        connection.execute("UPDATE runs SET tail_points = 0, tail_rows = 0 WHERE id = ?", (run,))
    _merge_chunks(connection, run, final=final)


class _TailRow(NamedTuple):
    id: int
    writer: int
    attempt: int
    is_merged: int
    n: int


def _choose_tails(rows: list[_TailRow], *, final: bool) -> list[_TailRow]:
    fresh = [row for row in rows if not row.is_merged]
    total = sum(row.n for row in fresh)
    if final:
        return rows if total >= LEAVE_POINTS or len(fresh) > TAIL_ROWS else []
    chosen = set(fresh)
    for row in sorted((row for row in rows if row.is_merged), key=lambda row: row.n):
        if row.n > _REWRITE_RATIO * total:
            break
        chosen.add(row)
        total += row.n
    return [row for row in rows if row in chosen]


def _compact_tails(connection: sqlite3.Connection, owner: Owner, rows: Sequence[_TailRow]) -> None:
    import numpy as np

    values = _load(connection, "tails", TAIL_TYPES, [(row.id, row.n) for row in rows])
    order = np.lexsort((values[3], values[4]))
    step, time_ns, value, sequence, metric = (column[order] for column in values)
    connection.executemany("DELETE FROM tails WHERE id = ?", [(row.id,) for row in rows])
    is_rest = np.ones(len(metric), bool)
    for start, end in _groups(metric):
        if end - start >= CHUNK_FROM:
            is_rest[start:end] = False
            part = [column[start:end] for column in (step, time_ns, value, sequence)]
            _insert_chunks(connection, owner, int(metric[start]), part)
    rest = [column[is_rest] for column in (step, time_ns, value, sequence, metric)]
    if n := len(rest[0]):
        blob = columns.compress(rest) if n >= _COMPRESS_FROM else columns.encode_arrays(rest)
        _insert_tail(connection, owner, n, (int(rest[3].min()), int(rest[3].max())), blob, is_merged=True)


def _groups(metric: IntArray) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of equal values."""
    import numpy as np

    bounds = np.flatnonzero(np.r_[True, metric[1:] != metric[:-1], True]).tolist()
    yield from itertools.pairwise(bounds)


class _ChunkRow(NamedTuple):
    metric: int
    writer: int
    attempt: int
    id: int
    n: int


def _merge_chunks(connection: sqlite3.Connection, run: int, *, final: bool) -> None:
    small = connection.execute(
        """SELECT metric, writer, attempt, id, n FROM chunks WHERE run = ? AND n < ?
        ORDER BY metric, writer, attempt, first_sequence""",
        (run, SMALL_CHUNK),
    ).fetchall()
    for (metric, writer, attempt), group in itertools.groupby(map(_ChunkRow._make, small), key=lambda row: row[:3]):
        for together in _bins(group):
            rows = _without_giants(together) if final else together
            if len(rows) >= (2 if final else MANY_CHUNKS):
                _rewrite_chunks(connection, Owner(run, writer, attempt), metric, rows)


def _bins(rows: Iterable[_ChunkRow]) -> Iterator[list[_ChunkRow]]:
    """Neighbours that fit into one chunk together."""
    together: list[_ChunkRow] = []
    for row in rows:
        if sum(each.n for each in together) + row.n > CHUNK_POINTS:
            yield together
            together = []
        together.append(row)
    yield together


def _without_giants(rows: list[_ChunkRow]) -> list[_ChunkRow]:
    """Leave out what is so large that writing it again for the sake of the others is not worth it."""
    rest = list(rows)
    while rest:
        giant = max(rest, key=lambda row: row.n)
        if giant.n <= _REWRITE_RATIO * (sum(row.n for row in rest) - giant.n):
            break
        rest.remove(giant)
    return rest


def _rewrite_chunks(connection: sqlite3.Connection, owner: Owner, metric: int, rows: list[_ChunkRow]) -> None:
    import numpy as np

    values = _load(connection, "chunks", CHUNK_TYPES, [(row.id, row.n) for row in rows])
    order = np.argsort(values[3], kind="stable")
    # first, so that the new row takes the pages that the old ones leave
    connection.executemany("DELETE FROM chunks WHERE id = ?", [(row.id,) for row in rows])
    _insert_chunks(connection, owner, metric, [column[order] for column in values])


def _load(connection: sqlite3.Connection, table: str, types: str, rows: Sequence[tuple[int, int]]) -> list[Any]:
    """Columns of several rows (id, n), one after the other."""
    import numpy as np

    total = sum(n for _, n in rows)
    values = [np.empty(total, np.int64 if kind == "q" else np.float64) for kind in types]
    start = 0
    for row_id, n in rows:
        (blob,) = connection.execute(
            f"SELECT points FROM {table} WHERE id = ?",  # noqa: S608 - one of two names in this module
            (row_id,),
        ).fetchone()
        out = [column[start : start + n] for column in values]
        columns.decode(blob, types, place=f"{table}, row {row_id}", out=out)
        start += n
    return values
